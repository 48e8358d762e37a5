// MountRuntime
