import Bytes
import CCurl

/// One of libcurl's easy handles: one exchange at a time, used again afterwards. Stays on the transport's thread.
final class EasyHandle {
    let raw: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    /// libcurl writes its sentence about a failure here.
    private let errorText: UnsafeMutableBufferPointer<CChar>
    /// The first option that libcurl did not take.
    private var refusal = CURLE_OK

    /// Nil when memory is short.
    init?() {
        guard let raw = curl_easy_init() else { return nil }
        self.raw = raw
        self.errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0)
    }

    deinit {
        curl_easy_cleanup(raw)
        curl_slist_free_all(headers)
        errorText.deallocate()
    }

    /// libcurl's sentence about the last failure; empty when it had none.
    var errorDetail: String { errorText.baseAddress.map { String(cString: $0) } ?? "" }

    /// Sets all options for `transfer`, which must stay alive until `reset`. Returns what libcurl objects to.
    func prepare(_ transfer: Transfer, _ configuration: CurlTransport.Configuration, _ trust: TrustAnchors) -> CURLcode
    {
        refusal = CURLE_OK
        errorText[0] = 0
        setConnection(configuration, trust)
        setRequest(transfer.request)
        setHeaders(transfer.request)
        setCallbacks(transfer)
        return refusal
    }

    /// Forgets the transfer and everything that points to it.
    func reset() {
        curl_easy_reset(raw)
        curl_slist_free_all(headers)
        headers = nil
    }

    // MARK: - Options

    private func setConnection(_ configuration: CurlTransport.Configuration, _ trust: TrustAnchors) {
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        set(CURLOPT_FOLLOWLOCATION, 0)
        // Keys may hold "/../": the path is sent as it is signed.
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, Transfer.connectTimeout.wholeMilliseconds)
        set(CURLOPT_DNS_CACHE_TIMEOUT, 60)
        // Servers drop connections that idle for 60 s; a request sent at that moment would be lost.
        set(CURLOPT_MAXAGE_CONN, 55)
        set(CURLOPT_BUFFERSIZE, 512 << 10)
        set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        if let file = trust.file { set(CURLOPT_CAINFO, file) }
        if trust.isFileOnly { take(cognitofs_easy_set_string(raw, CURLOPT_CAPATH, nil)) }
        set(CURLOPT_USERAGENT, configuration.userAgent)
    }

    private func setRequest(_ request: HTTPRequest) {
        set(CURLOPT_URL, request.url)
        let count = request.body.count
        switch request.method {
        case .head:
            set(CURLOPT_NOBODY, 1)
        case .post:
            set(CURLOPT_POST, 1)
            take(cognitofs_easy_set_size(raw, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(count)))
        case .get where count == 0, .delete where count == 0:
            set(CURLOPT_HTTPGET, 1)
        case .get, .put, .delete:
            set(CURLOPT_UPLOAD, 1)
            take(cognitofs_easy_set_size(raw, CURLOPT_INFILESIZE_LARGE, curl_off_t(count)))
        }
        if request.method != .head { set(CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
        if count > 0 { set(CURLOPT_UPLOAD_BUFFERSIZE, min(max(count, 16 << 10), 1 << 20)) }
    }

    private func setHeaders(_ request: HTTPRequest) {
        // A name without a value takes out what libcurl would add of its own.
        append("Expect:")
        for (name, value) in request.headers { append(value.isEmpty ? "\(name);" : "\(name): \(value)") }
        for name in ["Accept", "Content-Type"]
        where !request.headers.contains(where: { $0.name.isEqualIgnoringCase(to: name) }) {
            append("\(name):")
        }
        take(cognitofs_easy_set_headers(raw, headers))
    }

    private func setCallbacks(_ transfer: Transfer) {
        let pointer = Unmanaged.passUnretained(transfer).toOpaque()
        take(cognitofs_easy_set_receive(raw, CURLOPT_HEADERFUNCTION, receiveHeadLine))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_HEADERDATA, pointer))
        take(cognitofs_easy_set_receive(raw, CURLOPT_WRITEFUNCTION, receiveBody))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_WRITEDATA, pointer))
        take(cognitofs_easy_set_before_request(raw, beforeRequest))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_PREREQDATA, pointer))
        take(cognitofs_easy_set_read(raw, readBody))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_READDATA, pointer))
        take(cognitofs_easy_set_seek(raw, seekBody))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_SEEKDATA, pointer))
        take(cognitofs_easy_set_pointer(raw, CURLOPT_ERRORBUFFER, errorText.baseAddress))
        // Only an upload needs to be watched from outside: what comes in is seen by the other callbacks.
        if transfer.request.body.count > 0 {
            take(cognitofs_easy_set_progress(raw, noteProgress))
            take(cognitofs_easy_set_pointer(raw, CURLOPT_XFERINFODATA, pointer))
            set(CURLOPT_NOPROGRESS, 0)
        }
    }

    private func set(_ option: CURLoption, _ value: Int) { take(cognitofs_easy_set_long(raw, option, value)) }

    private func set(_ option: CURLoption, _ value: String) { take(cognitofs_easy_set_string(raw, option, value)) }

    private func take(_ result: CURLcode) {
        if refusal == CURLE_OK { refusal = result }
    }

    private func append(_ line: String) {
        guard let longer = curl_slist_append(headers, line) else {
            refusal = CURLE_OUT_OF_MEMORY
            return
        }
        headers = longer
    }
}

// MARK: - Callbacks, all on the transport's thread and only while the transfer runs

private func transfer(_ pointer: UnsafeMutableRawPointer?) -> Transfer? {
    pointer.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
}

/// Any other result than the number of bytes offered breaks the transfer off.
private func receiveHeadLine(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ pointer: UnsafeMutableRawPointer?
) -> Int {
    let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer(pointer)?.takeHeadLine(line) == true ? line.count : 0
}

private func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ pointer: UnsafeMutableRawPointer?
) -> Int {
    let body = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer(pointer)?.takeBody(body) == true ? body.count : 0
}

private func readBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ pointer: UnsafeMutableRawPointer?
) -> Int {
    let target = UnsafeMutableRawBufferPointer(start: bytes, count: size * count)
    return transfer(pointer)?.provideBody(to: target) ?? Int(CURL_READFUNC_ABORT)
}

private func seekBody(_ pointer: UnsafeMutableRawPointer?, _ offset: curl_off_t, _ origin: Int32) -> Int32 {
    transfer(pointer)?.rewindBody(to: Int64(offset)) == true ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
}

private func noteProgress(
    _ pointer: UnsafeMutableRawPointer?, _ downloadTotal: curl_off_t, _ downloaded: curl_off_t,
    _ uploadTotal: curl_off_t, _ uploaded: curl_off_t
) -> Int32 {
    transfer(pointer)?.noteUpload(Int64(uploaded))
    return 0
}

private func beforeRequest(
    _ pointer: UnsafeMutableRawPointer?, _ remoteAddress: UnsafeMutablePointer<CChar>?,
    _ localAddress: UnsafeMutablePointer<CChar>?, _ remotePort: Int32, _ localPort: Int32
) -> Int32 {
    transfer(pointer)?.connectionStands()
    return CURL_PREREQFUNC_OK
}
