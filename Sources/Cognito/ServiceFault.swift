import Bytes
import HTTPTransport

/// An error answer of either service, before it is known what it means.
struct ServiceFault: Sendable, Equatable {
    /// `NotAuthorizedException`; empty when the answer names none.
    var type: String
    var message: String
    var status: Int

    /// Reads the body (`__type` with or without a namespace, `message` or `Message`), then the header
    /// `x-amzn-errortype`. An answer that is no JSON has an empty type.
    init(_ response: HTTPResponse) {
        struct Body: Decodable {
            var type: String?
            var message: String?
        }
        let body = try? WireDecoder.decode(Body.self, from: response.body)
        let raw = body?.type ?? response["x-amzn-errortype"] ?? ""
        let name = raw.split(separator: "#").last.map(String.init) ?? ""
        self.init(
            type: String(name.prefix { $0 != ":" }.prefix(128)),
            message: String((body?.message ?? "").prefix(512)), status: response.status)
    }

    init(type: String, message: String, status: Int) {
        self.type = type
        // Printed to terminals and logs: no control bytes of a server's.
        self.message = String(
            message.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F && $0.value != 0x9B })
        self.status = status
    }
}
