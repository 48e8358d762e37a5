/// The media type that an object gets by its name's extension, as Amplify's storage gives it (amplify-js,
/// `storage/src/providers/s3/utils/contentType`): what the app serves to a browser depends on it.
enum ContentType {
    static let unknown = "application/octet-stream"
    static let directory = "application/x-directory"
    static let symbolicLink = "application/octet-stream"

    static func of(_ name: EntryName) -> String { table[name.pathExtension] ?? unknown }

    private static let table: [String: String] = [
        "aac": "audio/aac", "abw": "application/x-abiword", "apng": "image/apng", "arc": "application/x-freearc",
        "avi": "video/x-msvideo", "avif": "image/avif", "azw": "application/vnd.amazon.ebook",
        "bin": "application/octet-stream", "bmp": "image/bmp", "bz": "application/x-bzip",
        "bz2": "application/x-bzip2", "cda": "application/x-cdf", "csh": "application/x-csh", "css": "text/css",
        "csv": "text/csv", "doc": "application/msword",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "eot": "application/vnd.ms-fontobject", "epub": "application/epub+zip", "gif": "image/gif",
        "gz": "application/gzip", "heic": "image/heic", "heif": "image/heif", "htm": "text/html",
        "html": "text/html", "ico": "image/vnd.microsoft.icon", "ics": "text/calendar",
        "jar": "application/java-archive", "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript",
        "json": "application/json", "jsonld": "application/ld+json", "md": "text/markdown", "mid": "audio/midi",
        "midi": "audio/midi", "mjs": "text/javascript", "mov": "video/quicktime", "mp3": "audio/mpeg",
        "mp4": "video/mp4", "mpeg": "video/mpeg", "mpkg": "application/vnd.apple.installer+xml",
        "odp": "application/vnd.oasis.opendocument.presentation",
        "ods": "application/vnd.oasis.opendocument.spreadsheet", "odt": "application/vnd.oasis.opendocument.text",
        "oga": "audio/ogg", "ogv": "video/ogg", "ogx": "application/ogg", "opus": "audio/opus", "otf": "font/otf",
        "pdf": "application/pdf", "php": "application/x-httpd-php", "png": "image/png",
        "ppt": "application/vnd.ms-powerpoint",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "rar": "application/vnd.rar", "rtf": "application/rtf", "sh": "application/x-sh", "svg": "image/svg+xml",
        "swf": "application/x-shockwave-flash", "tar": "application/x-tar", "tif": "image/tiff",
        "tiff": "image/tiff", "ts": "video/mp2t", "ttf": "font/ttf", "txt": "text/plain",
        "vsd": "application/vnd.visio", "wav": "audio/wav", "weba": "audio/webm", "webm": "video/webm",
        "webp": "image/webp", "woff": "font/woff", "woff2": "font/woff2", "xhtml": "application/xhtml+xml",
        "xls": "application/vnd.ms-excel",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xml": "application/xml",
        "xul": "application/vnd.mozilla.xul+xml", "zip": "application/zip", "7z": "application/x-7z-compressed",
    ]
}
