import ObjectStore
import Testing

@Suite("Keys and tags")
struct KeyTests {
    @Test("A key is one to 1024 bytes of UTF-8, and nothing else")
    func keys() {
        #expect(ObjectKey("") == nil)
        #expect(ObjectKey([0xFF]) == nil)
        #expect(ObjectKey(String(repeating: "a", count: 1025)) == nil)
        #expect(ObjectKey(String(repeating: "a", count: 1024)) != nil)
    }

    @Test("Two spellings of one letter are two keys, in the order of their bytes")
    func spellings() throws {
        let composed = try #require(ObjectKey("\u{e9}"))
        let decomposed = try #require(ObjectKey("e\u{301}"))
        #expect(composed != decomposed)
        #expect(decomposed < composed)
    }

    @Test("A prefix that does not end in a slash is refused, since it would name a sibling's keys")
    func prefixes() {
        #expect(KeyPrefix("private/me") == nil)
        #expect(KeyPrefix("private/me/") != nil)
        #expect(KeyPrefix("") != nil)
    }

    @Test(
        "A tag is the same however a server quotes it",
        arguments: ["abc-1", "\"abc-1\"", "&#34;abc-1&#34;", "&quot;abc-1&quot;"])
    func tags(_ raw: String) {
        #expect(ETag(raw).quoted == "\"abc-1\"")
    }
}
