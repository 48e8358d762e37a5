/// The version that `cognitofs --version`, `status` and requests name.
public let programVersion = "0.1.0"
