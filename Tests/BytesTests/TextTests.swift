import Bytes
import Testing

struct Base64Text {
    /// RFC 4648 §10.
    static let vectors = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]

    @Test("Text that no bytes encode to is refused", arguments: ["A", "Zg=v", "====", "Zm9v!", "Zm 9v", "Zg===", "é"])
    func refused(_ text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test("The standard's vectors come out in both directions", arguments: vectors)
    func standard(_ plain: String, _ encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test("Missing padding and the URL-safe alphabet are read")
    func lenient() {
        #expect(Base64.decode("Zm9vYg") == Array("foob".utf8))
        #expect(Base64.encode([0xFB, 0xEF, 0xFF]) == "++//")
        #expect(Base64.decode("--__") == [0xFB, 0xEF, 0xFF])
    }
}

struct HexText {
    @Test("An odd number of digits and what is no digit are refused", arguments: ["0", "0g", "0x", "١٢", " 00"])
    func refused(_ text: String) {
        #expect(Hex.decode(text) == nil)
    }

    @Test("Every byte is written in lower case and read back in either")
    func everyByte() {
        let bytes = Array(UInt8.min...UInt8.max)
        #expect(Hex.encode([0x00, 0x0F, 0xA5, 0xFF]) == "000fa5ff")
        #expect(Hex.decode(Hex.encode(bytes)) == bytes)
        #expect(Hex.decode(Hex.encode(bytes).uppercased()) == bytes)
    }
}

struct PercentEncoding {
    @Test("A broken escape is refused", arguments: ["%", "%4", "a%4", "%g0", "%0g", "%%41"])
    func refused(_ text: String) {
        #expect(URLText.percentDecode(text) == nil)
    }

    @Test("Only unreserved characters stay, and slashes on request")
    func encoding() {
        #expect(URLText.percentEncode("AZaz09-._~") == "AZaz09-._~")
        #expect(URLText.percentEncode("a b+c%/é:😀") == "a%20b%2Bc%25%2F%C3%A9%3A%F0%9F%98%80")
        #expect(URLText.percentEncode("eu-west-1:id/a b", keepingSlashes: true) == "eu-west-1%3Aid/a%20b")
    }

    @Test("A plus is a space only where that is asked for")
    func plus() {
        #expect(URLText.percentDecode("a+b%2Bc") == Array("a+b+c".utf8))
        #expect(URLText.percentDecode("a+b%2Bc", plusIsSpace: true) == Array("a b+c".utf8))
    }

    @Test("Every byte comes back, valid UTF-8 or not")
    func everyByte() {
        let bytes = Array(UInt8.min...UInt8.max)
        #expect(URLText.percentDecode(URLText.percentEncode(bytes)) == bytes)
        #expect(URLText.percentDecode(URLText.percentEncode(bytes, keepingSlashes: true), plusIsSpace: true) == bytes)
    }
}
