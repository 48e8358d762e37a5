/// The key prefix of a space, with `{identity_id}` where the user's identity id goes.
public enum PrefixTemplate {
    public static let placeholder = "{identity_id}"

    /// S3 keys have 1,024 bytes; the rest is left for the files.
    static let longest = 900

    /// `text` with one slash at its end, or nil if keys below it could not be files of a mount.
    static func normalized(_ text: String) -> String? {
        let components = text.split(separator: "/", omittingEmptySubsequences: false)
        let inner = text.hasSuffix("/") ? components.dropLast() : components[...]
        for component in inner {
            let literal = component.replacing(placeholder, with: "")
            guard !component.isEmpty, component != ".", component != "..", component.utf8.count <= 255,
                !literal.contains("{"), !literal.contains("}")
            else { return nil }
        }
        let result = inner.joined(separator: "/") + "/"
        return result.utf8.count <= longest ? result : nil
    }

    /// Whether a signed-in user gets a space of their own, or one that Amplify means to be shared, by this template.
    static func isAllowedWithCognito(_ prefix: String) -> Bool {
        prefix.contains(placeholder) || prefix.hasPrefix("public/") || prefix.hasPrefix("protected/")
    }
}
