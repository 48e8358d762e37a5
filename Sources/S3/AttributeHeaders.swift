import HTTPTransport
import ObjectStore

/// `ObjectAttributes` as headers of a write, and back from the headers of an answer.
enum AttributeHeaders {
    /// Object headers that survive a rewrite besides `Content-Type`.
    static let kept = [
        "cache-control", "content-disposition", "content-encoding", "content-language", "expires",
        "x-amz-website-redirect-location",
    ]
    private static let metadataPrefix = "x-amz-meta-"
    /// S3 user guide, "User-defined object metadata": names and values together.
    static let maximumMetadata = 2048

    /// Throws `.tooLarge` over S3's 2 KB, `.invalidAnswer` for names and values that no header can carry.
    static func headers(
        _ attributes: ObjectAttributes, for key: ObjectKey
    ) throws(ObjectStoreError) -> [(name: String, value: String)] {
        var headers = [(name: "Content-Type", value: attributes.contentType)]
        for name in kept {
            if let value = attributes.headers[name] { headers.append((name: name, value: value)) }
        }
        var size = 0
        for (name, value) in attributes.metadata.sorted(by: { $0.key < $1.key }) {
            let text = MetadataText.encode(value)
            guard isToken(name) else {
                throw ObjectStoreError(.invalidAnswer, "Cannot write \(key): \(name) cannot be a metadata name.")
            }
            size += name.utf8.count + text.utf8.count
            headers.append((name: metadataPrefix + name.lowercased(), value: text))
        }
        guard size <= maximumMetadata else {
            throw ObjectStoreError(
                .tooLarge, "Cannot write \(key): its metadata takes \(size) bytes, and S3 keeps \(maximumMetadata).")
        }
        for header in headers where header.value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
            throw ObjectStoreError(
                .invalidAnswer, "Cannot write \(key): the value of \(header.name) has a control character.")
        }
        return headers
    }

    static func attributes(_ response: HTTPResponse) -> ObjectAttributes {
        var attributes = ObjectAttributes(contentType: response["content-type"] ?? "binary/octet-stream")
        for (rawName, value) in response.headers {
            let name = rawName.lowercased()
            if name.hasPrefix(metadataPrefix) {
                attributes.metadata[String(name.dropFirst(metadataPrefix.count))] = MetadataText.decode(value)
            } else if kept.contains(name), !value.isEmpty {
                attributes.headers[name] = value
            }
        }
        // SeaweedFS keeps the framing of a chunked upload as if it were the object's own encoding.
        if attributes.headers["content-encoding"] == "aws-chunked" { attributes.headers["content-encoding"] = nil }
        return attributes
    }

    /// RFC 9110 §5.6.2.
    private static func isToken(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) || (0x30...0x39).contains($0)
                    || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }
}
