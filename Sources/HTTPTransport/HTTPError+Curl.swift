import CCurl

extension HTTPError {
    /// What libcurl's `result` means to the caller.
    ///
    /// Once the request has gone out on any connection the server may have it, whatever happened later: a kept
    /// connection may have broken after the server took the request, and the connection for the repetition failed.
    init(_ result: CURLcode, detail: String, origin: Origin, wasSent: Bool) {
        self = wasSent ? Self.afterSending(result, origin) : Self.beforeSending(result, detail, origin)
    }

    /// `detail` is libcurl's sentence: before a request is sent it speaks of the host and its certificate only.
    private static func beforeSending(_ result: CURLcode, _ detail: String, _ origin: Origin) -> HTTPError {
        let reason = detail.isEmpty ? String(cString: curl_easy_strerror(result)) : detail
        switch result {
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED,
            CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_CRL_BADFILE, CURLE_USE_SSL_FAILED:
            return HTTPError(
                .tlsFailed,
                "\(origin) could not prove who it is: \(reason). "
                    + "Check the address, the clock and, for a private authority, ca_file.")
        case CURLE_SSL_CACERT_BADFILE:
            return HTTPError(.tlsFailed, "The file with the certificate authorities cannot be used: \(reason).")
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL:
            return HTTPError(.notConnected, "The address of \(origin) is not one that can be connected to. Check it.")
        default:
            return HTTPError(
                .notConnected, "\(origin) cannot be reached: \(reason). Check the network and the address.")
        }
    }

    private static func afterSending(_ result: CURLcode, _ origin: Origin) -> HTTPError {
        switch result {
        case CURLE_OPERATION_TIMEDOUT:
            HTTPError(.timedOut, "\(origin) did not answer in time. Check the network and try again.")
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING, CURLE_FILESIZE_EXCEEDED,
            CURLE_BAD_DOWNLOAD_RESUME, CURLE_RANGE_ERROR:
            HTTPError(.badAnswer, "\(origin) sent an answer that is not HTTP. Check the address.")
        default:
            HTTPError(
                .connectionLost,
                "The connection to \(origin) broke: \(String(cString: curl_easy_strerror(result))). Try again.")
        }
    }
}
