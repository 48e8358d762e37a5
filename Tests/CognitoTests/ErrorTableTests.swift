import HTTPTransport
import Testing

@testable import Cognito

@Suite("What the services' faults mean") struct ErrorTableTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var operation: Operation
        var type: String
        var message: String
        var code: CognitoError.Code
        var status = 400
        var testDescription: String { "\(operation) \(type) \(message.prefix(40)) → \(code)" }
    }

    static let userPool: [Row] = [
        Row(
            operation: .respondToAuthChallenge, type: "NotAuthorizedException",
            message: "Incorrect username or password.", code: .wrongPassword),
        Row(
            operation: .initiateAuth, type: "NotAuthorizedException", message: "Password attempts exceeded",
            code: .tooManyTries),
        Row(
            operation: .initiateAuth, type: "NotAuthorizedException", message: "User is disabled.", code: .userDisabled),
        Row(
            operation: .getTokensFromRefreshToken, type: "NotAuthorizedException", message: "User is disabled.",
            code: .sessionEnded),
        Row(
            operation: .getTokensFromRefreshToken, type: "NotAuthorizedException", message: "Refresh Token has expired",
            code: .sessionEnded),
        Row(
            operation: .refreshTokenAuth, type: "NotAuthorizedException", message: "Invalid Refresh Token",
            code: .sessionEnded),
        Row(
            operation: .getTokensFromRefreshToken, type: "NotAuthorizedException",
            message: "Refresh Token has been revoked", code: .sessionEnded),
        Row(
            operation: .getTokensFromRefreshToken, type: "UserNotFoundException", message: "User does not exist.",
            code: .sessionEnded),
        Row(
            operation: .getTokensFromRefreshToken, type: "RefreshTokenReuseException", message: "", code: .sessionEnded),
        Row(
            operation: .getUser, type: "NotAuthorizedException", message: "Access Token has been revoked",
            code: .sessionEnded),
        Row(
            operation: .respondToAuthChallenge, type: "NotAuthorizedException",
            message: "Invalid session for the user.", code: .challengeExpired),
        Row(
            operation: .respondToAuthChallenge, type: "NotAuthorizedException",
            message: "Invalid session for the user, session is expired.", code: .challengeExpired),
        Row(
            operation: .initiateAuth, type: "NotAuthorizedException",
            message: "Unable to verify secret hash for client 1abc", code: .configuration),
        Row(
            operation: .getTokensFromRefreshToken, type: "NotAuthorizedException",
            message: "Client 1abc is configured with secret but SECRET_HASH was not received", code: .configuration),
        Row(
            operation: .initiateAuth, type: "InvalidParameterException",
            message: "USER_SRP_AUTH is not enabled for the client.", code: .configuration),
        Row(
            operation: .initiateAuth, type: "UserNotFoundException", message: "User does not exist.",
            code: .wrongPassword),
        Row(operation: .initiateAuth, type: "UserNotConfirmedException", message: "", code: .userNotConfirmed),
        Row(
            operation: .initiateAuth, type: "PasswordResetRequiredException", message: "", code: .passwordResetRequired),
        Row(
            operation: .respondToAuthChallenge, type: "InvalidPasswordException", message: "too short",
            code: .passwordRefused),
        Row(operation: .respondToAuthChallenge, type: "CodeMismatchException", message: "", code: .wrongCode),
        Row(operation: .respondToAuthChallenge, type: "ExpiredCodeException", message: "", code: .codeExpired),
        Row(operation: .initiateAuth, type: "TooManyRequestsException", message: "", code: .unavailable),
        Row(operation: .initiateAuth, type: "LimitExceededException", message: "", code: .tooManyTries),
        Row(operation: .initiateAuth, type: "ForbiddenException", message: "", code: .refusedByApp),
        Row(operation: .initiateAuth, type: "ResourceNotFoundException", message: "", code: .configuration),
        Row(operation: .initiateAuth, type: "UserLambdaValidationException", message: "no", code: .refusedByApp),
        Row(
            operation: .getTokensFromRefreshToken, type: "UnsupportedOperationException", message: "",
            code: .unsupportedOperation),
        Row(
            operation: .getTokensFromRefreshToken, type: "UnknownOperationException", message: "",
            code: .unsupportedOperation),
        Row(operation: .initiateAuth, type: "InternalErrorException", message: "", code: .unavailable, status: 500),
        Row(operation: .initiateAuth, type: "", message: "", code: .unavailable, status: 503),
        Row(operation: .initiateAuth, type: "", message: "", code: .invalidAnswer, status: 404),
        Row(operation: .initiateAuth, type: "BrandNewException", message: "", code: .configuration),
    ]

    static let identityPool: [Row] = [
        Row(
            operation: .getCredentialsForIdentity, type: "NotAuthorizedException",
            message: "Invalid login token. Token expired: 1589092400 >= 1589092129", code: .loginTokenExpired),
        Row(
            operation: .getID, type: "NotAuthorizedException",
            message: "Invalid login token. Couldn't verify signed token.", code: .configuration),
        Row(
            operation: .getID, type: "NotAuthorizedException",
            message: "Token is not from a supported provider of this identity pool.", code: .configuration),
        Row(
            operation: .getCredentialsForIdentity, type: "NotAuthorizedException",
            message: "Logins don't match. Please include at least one valid login", code: .identityMismatch),
        Row(
            operation: .getCredentialsForIdentity, type: "NotAuthorizedException",
            message: "Access to Identity 'x' is forbidden.", code: .identityMismatch),
        Row(
            operation: .getID, type: "NotAuthorizedException",
            message: "Unauthenticated access is not supported for this identity pool.", code: .sessionEnded),
        Row(
            operation: .getCredentialsForIdentity, type: "NotAuthorizedException", message: "something new",
            code: .loginTokenRefused),
        Row(
            operation: .getCredentialsForIdentity, type: "ResourceNotFoundException", message: "",
            code: .identityMismatch),
        Row(
            operation: .getCredentialsForIdentity, type: "InvalidIdentityPoolConfigurationException", message: "",
            code: .configuration),
        Row(operation: .getCredentialsForIdentity, type: "LimitExceededException", message: "", code: .unavailable),
        Row(operation: .getCredentialsForIdentity, type: "ExternalServiceException", message: "", code: .unavailable),
        Row(
            operation: .getCredentialsForIdentity, type: "ResourceConflictException", message: "", code: .configuration),
    ]

    @Test("Each fault has its code and a sentence", arguments: userPool + identityPool)
    func table(_ row: Row) {
        let error = CognitoError(
            ServiceFault(type: row.type, message: row.message, status: row.status), during: row.operation)
        #expect(error.code == row.code)
        #expect(!error.message.isEmpty)
        #expect(error.serviceCode == (row.type.isEmpty ? nil : row.type))
    }

    @Test("Only the service's word ends a session") func onlyTheServiceEndsASession() {
        for code in CognitoError.Code.allCases {
            let error = CognitoError(code, "")
            #expect(!(error.needsLogin && error.isTransient), "\(code)")
        }
        for code in [CognitoError.Code.unreachable, .unavailable, .invalidAnswer] {
            #expect(!CognitoError(code, "").needsLogin)
            #expect(CognitoError(code, "").isTransient)
        }
    }

    @Test("A wrong password and an unknown user read the same") func noUserNamesRevealed() {
        let wrong = CognitoError(
            ServiceFault(type: "NotAuthorizedException", message: "Incorrect username or password.", status: 400),
            during: .respondToAuthChallenge)
        let unknown = CognitoError(
            ServiceFault(type: "UserNotFoundException", message: "User does not exist.", status: 400),
            during: .initiateAuth)
        #expect(wrong.description == unknown.description)
    }

    @Test("The fault's name is found with a namespace, a suffix, in the header, or not at all") func parsing() {
        func fault(_ body: String, header: String? = nil) -> ServiceFault {
            let headers = header.map { [(name: "X-Amzn-ErrorType", value: $0)] } ?? []
            return ServiceFault(HTTPResponse(status: 400, headers: headers, body: Array(body.utf8)))
        }
        #expect(
            fault(#"{"__type":"a.b#NotAuthorizedException:http://x/","Message":"m"}"#).type == "NotAuthorizedException")
        #expect(fault(#"{"__type":"X","Message":"m"}"#).message == "m")
        #expect(fault(#"{"message":"m"}"#, header: "ForbiddenException:x").type == "ForbiddenException")
        #expect(fault("<html>", header: nil).type == "")
        #expect(fault(#"{"__type":12}"#).type == "")
        let evil = fault(#"{"__type":"X","message":"a\u001b[2Jb\u0000c\#(String(repeating: "x", count: 4000))"}"#)
        #expect(evil.message.hasPrefix("a[2Jbc"))
        #expect(evil.message.utf8.count <= 512)
    }
}
