/// Which user pool, app client and identity pool an app uses, and where they answer.
public struct CognitoConfiguration: Sendable {
    public let userPoolID: UserPoolID
    public let clientID: String
    /// Only app clients for servers have one.
    public let clientSecret: Secret?
    public let identityPoolID: IdentityPoolID
    /// `https://…`, without a path.
    public let userPoolEndpoint: String
    public let identityPoolEndpoint: String

    /// Takes the settings as text; an empty endpoint means AWS's own for the region of the id. Plain `http://` is
    /// accepted for this machine only, unless `allowInsecure`.
    public init(
        userPoolID: String, clientID: String, clientSecret: Secret? = nil, identityPoolID: String,
        userPoolEndpoint: String = "", identityPoolEndpoint: String = "", allowInsecure: Bool = false
    ) throws(CognitoError) {
        guard let userPool = UserPoolID(userPoolID) else {
            throw Self.wrong("user_pool_id", userPoolID, "like us-east-1_Ab3dEf9Hi")
        }
        guard let identityPool = IdentityPoolID(identityPoolID) else {
            throw Self.wrong("identity_pool_id", identityPoolID, "like us-east-1:01234567-89ab-cdef-0123-456789abcdef")
        }
        guard (1...128).contains(clientID.utf8.count),
            clientID.utf8.allSatisfy({ isASCIIAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "+") })
        else { throw Self.wrong("app_client_id", clientID, "letters and digits") }
        self.userPoolID = userPool
        self.identityPoolID = identityPool
        self.clientID = clientID
        self.clientSecret = clientSecret.flatMap { $0.isEmpty ? nil : $0 }
        self.userPoolEndpoint = try Self.endpoint(
            userPoolEndpoint, setting: "user_pool_endpoint", service: "cognito-idp", region: userPool.region,
            allowInsecure: allowInsecure)
        self.identityPoolEndpoint = try Self.endpoint(
            identityPoolEndpoint, setting: "identity_pool_endpoint", service: "cognito-identity",
            region: identityPool.region, allowInsecure: allowInsecure)
    }

    private static func wrong(_ setting: String, _ value: String, _ form: String) -> CognitoError {
        CognitoError(
            .configuration, "The setting \(setting) is not valid: \"\(value.prefix(128))\" should be \(form).",
            remedy: "Correct it in the configuration.")
    }

    private static func endpoint(
        _ given: String, setting: String, service: String, region: String, allowInsecure: Bool
    ) throws(CognitoError) -> String {
        guard !given.isEmpty else { return "https://\(service).\(region).\(suffix(of: region))" }
        let bare = given.hasSuffix("/") ? String(given.dropLast()) : given
        guard let schemeEnd = bare.firstRange(of: "://") else { throw wrong(setting, given, "a URL") }
        let scheme = bare[..<schemeEnd.lowerBound]
        let authority = bare[schemeEnd.upperBound...]
        guard scheme == "https" || scheme == "http", !authority.isEmpty,
            authority.utf8.allSatisfy({ isASCIIAlphanumeric($0) || "-.:[]_".utf8.contains($0) })
        else { throw wrong(setting, given, "https://host, without a path") }
        guard scheme == "https" || allowInsecure || isThisMachine(authority) else {
            throw CognitoError(
                .configuration, "The setting \(setting) would send your sign-in unencrypted to \(authority).",
                remedy: "Use https://, or set allow_insecure if that is really meant.")
        }
        return bare
    }

    /// The partitions' domains, as AWS's endpoint rules give them.
    private static func suffix(of region: String) -> String {
        if region.hasPrefix("cn-") { return "amazonaws.com.cn" }
        if region.hasPrefix("eusc-") { return "amazonaws.eu" }
        return "amazonaws.com"
    }

    private static func isThisMachine(_ authority: Substring) -> Bool {
        if authority.hasPrefix("[") { return authority == "[::1]" || authority.hasPrefix("[::1]:") }
        let host = authority.prefix { $0 != ":" }
        let octets = host.split(separator: ".", omittingEmptySubsequences: false)
        return host == "localhost"
            || (octets.count == 4 && octets[0] == "127" && octets.allSatisfy { UInt8($0) != nil })
    }
}
