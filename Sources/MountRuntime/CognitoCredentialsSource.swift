import Cognito
import ObjectStore
import S3

/// Gives S3 the credentials of the signed-in user: the one place where the two meet.
struct CognitoCredentialsSource: CredentialsSource {
    let provider: CredentialsProvider

    func credentials() async throws(ObjectStoreError) -> Credentials {
        do {
            return Credentials(try await provider.credentials())
        } catch {
            throw ObjectStoreError(error)
        }
    }

    func renew(after rejected: Credentials) async throws(ObjectStoreError) -> Credentials {
        do {
            let now = try await provider.credentials()
            // Somebody else has renewed them since.
            if now.accessKeyID != rejected.accessKeyID { return Credentials(now) }
            return Credentials(try await provider.renew(after: now))
        } catch {
            throw ObjectStoreError(error)
        }
    }
}

extension Credentials {
    init(_ credentials: AWSCredentials) {
        self.init(
            accessKeyID: credentials.accessKeyID,
            secretAccessKey: RedactedText(credentials.secretAccessKey.reveal()),
            sessionToken: RedactedText(credentials.sessionToken.reveal()))
    }
}

extension ObjectStoreError {
    /// A failed renewal, as the file system sees it: only the service's own word means that signing in is needed.
    init(_ error: CognitoError) {
        let code: Code =
            switch error.code {
            case .cancelled: .cancelled
            case .unreachable: .unreachable
            case .unavailable, .storeFailed, .tooManyTries: .unavailable
            case .invalidAnswer: .invalidAnswer
            case .configuration, .identityMismatch, .loginTokenRefused, .refusedByApp: .accessDenied
            default: error.needsLogin ? .signInNeeded : .unavailable
            }
        self.init(code, error.description)
    }
}
