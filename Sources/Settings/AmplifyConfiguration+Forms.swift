extension AmplifyConfiguration {
    /// Nil if the object is none of the known forms.
    static func interpret(_ object: Literal) -> AmplifyConfiguration? {
        if object["version"]?.text?.hasPrefix("1") == true, object["auth"] != nil || object["storage"] != nil {
            return outputs(object)
        }
        if object["aws_project_region"] != nil || object["aws_user_pools_id"] != nil
            || object["aws_cognito_identity_pool_id"] != nil
        {
            return exports(object)
        }
        if object["auth", "plugins"] != nil || object["storage", "plugins"] != nil { return native(object) }
        if object["Auth"] != nil || object["Storage"] != nil { return handWritten(object) }
        return nil
    }

    private static func outputs(_ object: Literal) -> AmplifyConfiguration {
        var result = AmplifyConfiguration(form: .outputs)
        result.take(\.userPoolID, "user_pool_id", object["auth", "user_pool_id"])
        result.take(\.appClientID, "app_client_id", object["auth", "user_pool_client_id"])
        result.take(\.identityPoolID, "identity_pool_id", object["auth", "identity_pool_id"])
        result.take(\.bucket, "bucket", object["storage", "bucket_name"])
        result.take(\.region, "region", object["storage", "aws_region"])
        result.spaces = spaces(object)
        result.takeOwnSection(object["custom", "cognitofs"])
        return result
    }

    /// The places that the storage rules give to each user, or failing these, to everybody who is signed in.
    private static func spaces(_ object: Literal) -> [Space] {
        var own: [Space] = []
        var shared: [Space] = []
        for bucket in object["storage", "buckets"]?.items ?? [] {
            let name = bucket["bucket_name"]?.text ?? object["storage", "bucket_name"]?.text ?? ""
            let region = bucket["aws_region"]?.text ?? object["storage", "aws_region"]?.text ?? ""
            for path in bucket["paths"]?.members ?? [] {
                let who = path.value.members.filter { reads($0.value) }.map(\.key)
                guard let prefix = prefix(path.key) else { continue }
                let space = Space(bucket: name, region: region, prefix: prefix)
                if who.contains(where: { $0.hasPrefix("entity") }), prefix.contains(PrefixTemplate.placeholder) {
                    own.append(space)
                } else if who.contains("authenticated"), PrefixTemplate.isAllowedWithCognito(prefix) {
                    shared.append(space)
                }
            }
        }
        return own.isEmpty ? shared : own
    }

    private static func reads(_ actions: Literal) -> Bool {
        actions.items.contains { ["read", "get", "list"].contains($0.text) }
    }

    private static func prefix(_ path: String) -> String? {
        let template = ["${cognito-identity.amazonaws.com:sub}", "{entity_id}", "${entity_id}"]
            .reduce(path) { $0.replacing($1, with: PrefixTemplate.placeholder) }
        return PrefixTemplate.normalized(template.hasSuffix("/*") ? String(template.dropLast()) : template)
    }

    /// Settings of ours that a deployment may put beside Amplify's own, for other servers than AWS's.
    private mutating func takeOwnSection(_ section: Literal?) {
        guard let section else { return }
        take(\.s3Endpoint, "s3_endpoint", section["s3_endpoint"])
        take(\.userPoolEndpoint, "user_pool_endpoint", section["user_pool_endpoint"])
        take(\.identityPoolEndpoint, "identity_pool_endpoint", section["identity_pool_endpoint"])
        if case .flag(let value) = section["path_style"] { pathStyle = value }
        if let prefix = section["prefix"]?.text.flatMap(PrefixTemplate.normalized) {
            spaces = [Space(bucket: bucket, region: region, prefix: prefix)]
        }
    }

    private static func exports(_ object: Literal) -> AmplifyConfiguration {
        var result = AmplifyConfiguration(form: .exports)
        result.take(\.userPoolID, "user_pool_id", object["aws_user_pools_id"])
        result.take(\.appClientID, "app_client_id", object["aws_user_pools_web_client_id"])
        result.take(\.identityPoolID, "identity_pool_id", object["aws_cognito_identity_pool_id"])
        result.take(\.bucket, "bucket", object["aws_user_files_s3_bucket"])
        result.take(\.region, "region", object["aws_user_files_s3_bucket_region"])
        if case .flag(true) = object["aws_user_files_s3_dangerously_connect_to_http_endpoint_for_testing"] {
            result.s3Endpoint = "http://localhost:20005"
            result.pathStyle = true
        }
        return result
    }

    private static func native(_ object: Literal) -> AmplifyConfiguration {
        var result = AmplifyConfiguration(form: .native)
        let auth = object["auth", "plugins", "awsCognitoAuthPlugin"]
        let storage = object["storage", "plugins", "awsS3StoragePlugin"]
        result.take(\.userPoolID, "user_pool_id", auth?["CognitoUserPool", "Default", "PoolId"])
        result.take(\.appClientID, "app_client_id", auth?["CognitoUserPool", "Default", "AppClientId"])
        result.take(\.appClientSecret, "app_client_secret", auth?["CognitoUserPool", "Default", "AppClientSecret"])
        result.take(
            \.identityPoolID, "identity_pool_id",
            auth?["CredentialsProvider", "CognitoIdentity", "Default", "PoolId"])
        result.take(\.bucket, "bucket", storage?["bucket"])
        result.take(\.region, "region", storage?["region"])
        result.takeLevel(storage?["defaultAccessLevel"])
        return result
    }

    private static func handWritten(_ object: Literal) -> AmplifyConfiguration {
        var result = AmplifyConfiguration(form: .handWritten)
        let auth = object["Auth", "Cognito"] ?? object["Auth"]
        let storage = object["Storage", "S3"] ?? object["Storage", "AWSS3"] ?? object["Storage"]
        result.take(\.userPoolID, "user_pool_id", auth?["userPoolId"])
        result.take(\.appClientID, "app_client_id", auth?["userPoolWebClientId"] ?? auth?["userPoolClientId"])
        result.take(\.identityPoolID, "identity_pool_id", auth?["identityPoolId"])
        result.take(\.userPoolEndpoint, "user_pool_endpoint", auth?["userPoolEndpoint"] ?? auth?["endpoint"])
        result.take(\.identityPoolEndpoint, "identity_pool_endpoint", auth?["identityPoolEndpoint"])
        result.take(\.bucket, "bucket", storage?["bucket"])
        result.take(\.region, "region", storage?["region"])
        result.takeLevel(storage?["level"] ?? storage?["defaultAccessLevel"] ?? object["Storage", "level"])
        return result
    }

    /// Amplify's access level says below which prefix its files are.
    private mutating func takeLevel(_ level: Literal?) {
        let prefix: String
        switch level?.text {
        case "private": prefix = "private/\(PrefixTemplate.placeholder)/"
        case "protected": prefix = "protected/\(PrefixTemplate.placeholder)/"
        case "guest", "public": prefix = "public/"
        default: return
        }
        spaces = [Space(bucket: bucket, region: region, prefix: prefix)]
    }

    private mutating func take(
        _ field: WritableKeyPath<AmplifyConfiguration, String>, _ name: String, _ value: Literal?
    ) {
        switch value {
        case .text(let text): self[keyPath: field] = text
        case .code: unreadable.append(name)
        default: break
        }
    }
}
