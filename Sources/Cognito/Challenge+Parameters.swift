import FoundationEssentials

extension Challenge {
    /// The second factors to choose from, as the pool spells them.
    var factors: [String] { list("MFAS_CAN_CHOOSE").filter { !$0.isEmpty && $0.utf8.count <= 64 } }

    /// The attributes that a new password must come with: required, and without a value yet.
    var missingAttributes: [String] {
        let present = parameters["userAttributes"].flatMap { text in
            try? JSONDecoder().decode([String: String].self, from: Data(text.utf8))
        }
        return list("requiredAttributes").compactMap { name in
            let bare = name.hasPrefix("userAttributes.") ? String(name.dropFirst("userAttributes.".count)) : name
            let hasValue = present?[bare].map { !$0.isEmpty } ?? false
            return bare.isEmpty || bare.utf8.count > 64 || hasValue ? nil : bare
        }
    }

    func codeRequest(complaint: String?) -> CodeRequest {
        let kind: CodeRequest.Kind =
            switch name {
            case "SMS_MFA": .sms
            case "EMAIL_OTP": .email
            default: .authenticatorApp
            }
        let destination = parameters["CODE_DELIVERY_DESTINATION"] ?? parameters["FRIENDLY_DEVICE_NAME"]
        return CodeRequest(kind: kind, destination: destination.flatMap(Self.printable), complaint: complaint)
    }

    /// A parameter that is a JSON array in a string; at most 50 entries.
    private func list(_ parameter: String) -> [String] {
        guard let text = parameters[parameter],
            let values = try? JSONDecoder().decode([String].self, from: Data(text.utf8))
        else { return [] }
        return Array(values.prefix(50))
    }

    /// Text of the server's for a terminal.
    private static func printable(_ text: String) -> String? {
        let clean = text.unicodeScalars.prefix(128).filter { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
        return clean.isEmpty ? nil : String(String.UnicodeScalarView(clean))
    }
}

extension CognitoError {
    /// Names the challenge and the way around it.
    static func unsupported(challenge name: String) -> CognitoError {
        let remedy =
            switch name {
            case "MFA_SETUP": "Set up the second factor in the app first, then sign in here."
            case "CUSTOM_CHALLENGE": "The app asks a question of its own; ask its owner for a sign-in by password."
            case "WEB_AUTHN", "SELECT_CHALLENGE", "PASSWORD", "PASSWORD_SRP", "SMS_OTP":
                "Ask the app's owner to allow sign-in by password (ALLOW_USER_SRP_AUTH)."
            case "DEVICE_SRP_AUTH", "DEVICE_PASSWORD_VERIFIER":
                "Forget this device in the app's account settings, then sign in here."
            default: "Ask the app's owner whether sign-in by password and code can be allowed."
            }
        return CognitoError(
            .unsupportedChallenge, "This app asks for \(name) at sign-in, which cognitofs can't answer.", remedy: remedy
        )
    }
}
