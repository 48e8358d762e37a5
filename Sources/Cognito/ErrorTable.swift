/// What each fault of the services means: the one place that reads their words.
extension CognitoError {
    init(_ fault: ServiceFault, during operation: Operation) {
        self = operation.isIdentityPool ? .identityPool(fault) : .userPool(fault, operation)
        serviceCode = fault.type.isEmpty ? nil : fault.type
    }

    private static func userPool(_ fault: ServiceFault, _ operation: Operation) -> CognitoError {
        switch fault.type {
        case "NotAuthorizedException": return notAuthorized(fault, operation)
        case "UserNotFoundException": return operation.renewsSession ? .sessionEnded : .wrongPassword
        case "RefreshTokenReuseException":
            return CognitoError(
                .sessionEnded, "Another program used this sign-in's refresh token.", remedy: "Run `cognitofs login`.")
        case "UserNotConfirmedException":
            return CognitoError(
                .userNotConfirmed, "This account isn't confirmed yet.",
                remedy: "Enter the code you were sent in the app, then sign in here.")
        case "PasswordResetRequiredException":
            return CognitoError(
                .passwordResetRequired, "The app's owner asked for a new password.",
                remedy: "Choose \"forgot password\" in the app, then sign in here.")
        case "InvalidPasswordException", "PasswordHistoryPolicyViolationException":
            return CognitoError(.passwordRefused, fault.message.isEmpty ? "That password is refused." : fault.message)
        case "CodeMismatchException", "EnableSoftwareTokenMFAException":
            return CognitoError(.wrongCode, "That code is wrong.")
        case "ExpiredCodeException":
            return CognitoError(
                .codeExpired, "That code has expired or was used before.", remedy: "Sign in again to get a new one.")
        case "TooManyFailedAttemptsException", "LimitExceededException": return .tooManyTries
        case "CodeDeliveryFailureException":
            return CognitoError(.unavailable, "The code couldn't be sent.", remedy: "Try again later.")
        case "ForbiddenException":
            return CognitoError(
                .refusedByApp, "A firewall rule (AWS WAF) of this app refused the request.", remedy: askOwner)
        case "UserLambdaValidationException", "UnexpectedLambdaException", "InvalidLambdaResponseException":
            return CognitoError(.refusedByApp, "The app's own check refused: \(fault.message)", remedy: askOwner)
        case "MFAMethodNotFoundException", "SoftwareTokenMFANotFoundException":
            return CognitoError(
                .refusedByApp, "No second factor is set up for this account.",
                remedy: "Set one up in the app, then sign in here.")
        case "ResourceNotFoundException":
            return CognitoError(
                .configuration, "The user pool or the app client was not found.",
                remedy: "Check user_pool_id, app_client_id and the region in the configuration.")
        case "InvalidParameterException": return invalidParameter(fault)
        case "InvalidUserPoolConfigurationException":
            return CognitoError(.configuration, "The user pool is not set up right: \(fault.message)", remedy: askOwner)
        case "UnsupportedOperationException", "UnknownOperationException", "InvalidAction",
            "UnsupportedTokenTypeException", "FeatureUnavailableInTierException":
            return CognitoError(.unsupportedOperation, "The user pool doesn't know \(operation.rawValue).")
        default: return common(fault)
        }
    }

    /// Cognito tells these apart by their text only.
    private static func notAuthorized(_ fault: ServiceFault, _ operation: Operation) -> CognitoError {
        let message = fault.message.lowercased()
        if message.contains("secret hash") || message.contains("secret_hash")
            || message.contains("configured with secret") || message.contains("client secret")
        {
            return CognitoError(
                .configuration, "This app client has a secret, and the one given is missing or wrong.",
                remedy: "Set app_client_secret in the configuration.")
        }
        if message.contains("user is disabled") || message.contains("user is not enabled") {
            return CognitoError(
                operation.renewsSession ? .sessionEnded : .userDisabled, "This account is switched off.",
                remedy: askOwner)
        }
        if operation.renewsSession { return .sessionEnded }
        if message.contains("attempts exceeded") { return .tooManyTries }
        if message.contains("invalid session") || message.contains("session is expired")
            || message.contains("session can only be used once")
        {
            return CognitoError(
                .challengeExpired, "That took too long.", remedy: "Run `cognitofs login` again.")
        }
        if operation == .revokeToken { return CognitoError(.sessionEnded, "The sign-in had ended already.") }
        return .wrongPassword
    }

    private static func invalidParameter(_ fault: ServiceFault) -> CognitoError {
        let message = fault.message.lowercased()
        if message.contains("not enabled for the client") || message.contains("auth flow not enabled") {
            return CognitoError(
                .configuration, "This app client doesn't allow password sign-in (SRP).",
                remedy: "Ask the app's owner to add ALLOW_USER_SRP_AUTH to the app client.")
        }
        return CognitoError(.configuration, "The user pool refused the request: \(fault.message)", remedy: askOwner)
    }

    private static func identityPool(_ fault: ServiceFault) -> CognitoError {
        let message = fault.message.lowercased()
        switch fault.type {
        case "NotAuthorizedException":
            if message.contains("token expired") {
                return CognitoError(.loginTokenExpired, "The ID token has expired.", remedy: clockHint)
            }
            if message.contains("logins don't match") || message.contains("is forbidden") { return .identityMismatch }
            if message.contains("couldn't verify signed token") || message.contains("issuer doesn't match")
                || message.contains("not from a supported provider")
            {
                return CognitoError(
                    .configuration, "The identity pool doesn't accept sign-ins of this app client.",
                    remedy:
                        "Check identity_pool_id; the app's owner must register the app client with the identity pool.")
            }
            if message.contains("unauthenticated access") { return .sessionEnded }
            return CognitoError(
                .loginTokenRefused, "The identity pool refused the sign-in: \(fault.message)",
                remedy: "Run `cognitofs login`.")
        case "ResourceNotFoundException":
            return CognitoError(
                .identityMismatch, "The identity pool, or your identity in it, was not found.",
                remedy: "Check identity_pool_id and its region in the configuration.")
        case "InvalidIdentityPoolConfigurationException":
            return CognitoError(
                .configuration, "The identity pool gives signed-in users no role they may take.", remedy: askOwner)
        case "InvalidParameterException":
            return CognitoError(
                .configuration, "The identity pool refused the request: \(fault.message)", remedy: askOwner)
        case "ResourceConflictException":
            return CognitoError(
                .configuration, "This sign-in is linked to another identity already.", remedy: askOwner)
        default: return common(fault)
        }
    }

    private static func common(_ fault: ServiceFault) -> CognitoError {
        switch fault.type {
        case "TooManyRequestsException", "LimitExceededException", "ThrottlingException", "Throttling":
            return CognitoError(.unavailable, "The sign-in service is busy.", remedy: "Try again in a minute.")
        case "InternalErrorException", "InternalFailure", "ExternalServiceException", "ServiceUnavailable",
            "ServiceUnavailableException", "ConcurrentModificationException":
            return CognitoError(.unavailable, "The sign-in service has a fault of its own.", remedy: "Try again later.")
        default: break
        }
        if fault.status >= 500 || fault.status == 429 {
            return CognitoError(
                .unavailable, "The sign-in service answered with status \(fault.status).", remedy: "Try again later.")
        }
        if fault.type.isEmpty { return .invalidAnswer("status \(fault.status) without an error") }
        return CognitoError(
            .configuration, "The sign-in service refused: \(fault.type) \(fault.message)", remedy: askOwner)
    }

    private static let askOwner = "Ask the app's owner."
    private static let clockHint = "If this stays, check this machine's clock."

    static let wrongPassword = CognitoError(.wrongPassword, "Wrong user name or password.")
    static let tooManyTries = CognitoError(
        .tooManyTries, "Too many tries for now.", remedy: "Wait up to 15 minutes and try again.")
    static let identityMismatch = CognitoError(
        .identityMismatch, "The stored identity is not one of this sign-in.", remedy: "Run `cognitofs login`.")
}
