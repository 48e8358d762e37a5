/// Temporary keys of the user's role.
public struct AWSCredentials: Sendable, Equatable {
    /// Names the keys in logs and signatures; no secret.
    public var accessKeyID: String
    public var secretAccessKey: Secret
    public var sessionToken: Secret
    public var lifetime: Lifetime

    public init(accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret, lifetime: Lifetime) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.lifetime = lifetime
    }

    /// Takes what a server or a file says only if it can stand in a request's header.
    init?(accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret, begins: Double, ends: Double) {
        guard (16...128).contains(accessKeyID.utf8.count),
            accessKeyID.utf8.allSatisfy({ isASCIIAlphanumeric($0) || $0 == UInt8(ascii: "_") }),
            secretAccessKey.byteCount <= 256, boundedToken(secretAccessKey) != nil, boundedToken(sessionToken) != nil,
            begins.isFinite, ends.isFinite, ends > 0, ends < 1e11
        else { return nil }
        self.init(
            accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, sessionToken: sessionToken,
            lifetime: Lifetime(begins: begins, ends: ends))
    }
}
