import Glibc

extension MountSettings {
    /// What a mount needs: where the files are, who may read them, and addresses that don't give them away.
    public func validate() throws(SettingsError) {
        switch credentials {
        case .cognito: try validateSignIn()
        case .environment: try validateNetwork()
        }
        try validateRequired()
        try validateBucket()
        try validatePrefix()
    }

    /// Only that nothing is missing.
    public func validateRequired() throws(SettingsError) {
        if credentials == .cognito { try validateApp() }
        try require(bucket, "bucket")
        try require(region, "region")
    }

    private func validateApp() throws(SettingsError) {
        try require(userPoolID, "user_pool_id")
        try require(appClientID, "app_client_id")
        try require(identityPoolID, "identity_pool_id")
    }

    /// What `login`, `logout` and `whoami` need: the user pool, the app client and the identity pool.
    public func validateSignIn() throws(SettingsError) {
        guard credentials == .cognito else {
            throw SettingsError(
                .incomplete,
                "There is nobody to sign in: app.credentials is \"environment\". Set it to \"cognito\" to use a sign-in."
            )
        }
        try validateApp()
        try validateNetwork()
    }

    private func require(_ value: String, _ name: String) throws(SettingsError) {
        guard value.isEmpty, let setting = Setting.named(name) else { return }
        throw SettingsError(
            .incomplete,
            "\(setting.qualifiedName) isn't set. Set it to \(setting.expectation), or let `cognitofs config import FILE` "
                + "take it from the app's own configuration.")
    }

    private func validateBucket() throws(SettingsError) {
        guard s3Endpoint.isEmpty else { return }
        guard TextShape.isAWSRegion(region) else {
            throw SettingsError(
                .badValue,
                "app.region must be one of AWS's, such as \"eu-west-1\", not \"\(region)\", unless "
                    + "app.s3_endpoint names another server.")
        }
        guard bucket.utf8.allSatisfy({ !(0x41...0x5A).contains($0) && $0 != 0x5F }) else {
            throw SettingsError(
                .badValue, "app.bucket \"\(bucket)\" can't be in S3: names there have no capitals and no _.")
        }
    }

    private func validatePrefix() throws(SettingsError) {
        switch credentials {
        case .cognito:
            guard PrefixTemplate.isAllowedWithCognito(prefix) else {
                throw SettingsError(
                    .incomplete,
                    "app.prefix \"\(prefix)\" would be the same for every user. Put {identity_id} into it, as in "
                        + "\"private/{identity_id}/images/\", or begin it with \"public/\" or \"protected/\".")
            }
        case .environment:
            guard !prefix.contains(PrefixTemplate.placeholder) else {
                throw SettingsError(
                    .incomplete,
                    "app.prefix \"\(prefix)\" has an {identity_id}, which credentials from the environment don't have. "
                        + "Mount s3://BUCKET/PREFIX, or set app.prefix.")
            }
        }
    }

    private func validateNetwork() throws(SettingsError) {
        let endpoints = [
            ("s3_endpoint", s3Endpoint), ("user_pool_endpoint", userPoolEndpoint),
            ("identity_pool_endpoint", identityPoolEndpoint),
        ]
        for (name, text) in endpoints {
            guard let endpoint = Endpoint(text), endpoint.isPlain, !endpoint.isLoopback, !allowInsecure else {
                continue
            }
            throw SettingsError(
                .badValue,
                "app.\(name) \"\(text)\" is not encrypted and not on this machine. Use https://, or set "
                    + "network.allow_insecure = true if the network between is yours.")
        }
        guard caFile.isEmpty || access(caFile, R_OK) == 0 else {
            let reason = String(cString: strerror(errno))
            throw SettingsError(
                .unreadable, "network.ca_file \(caFile) can't be read: \(reason). Name a PEM file of authorities.")
        }
    }
}
