import CCurl
import Glibc

/// Which certificate authorities are trusted, in libcurl's terms.
struct TrustAnchors {
    /// A PEM file instead of libcurl's own choice.
    let file: String?
    /// No directory of certificates beside the file. libcurl then keeps the parsed file for all connections; otherwise it
    /// reads and parses everything for each, which costs more than the handshake.
    let isFileOnly: Bool

    init(caFile: String?) {
        self.file = caFile
        self.isFileOnly = caFile != nil || Self.hasReadableDefault
    }

    private static var hasReadableDefault: Bool {
        guard let path = curl_version_info(CURLVERSION_SEVENTH)?.pointee.cainfo else { return false }
        return access(path, R_OK) == 0
    }
}
