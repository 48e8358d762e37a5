import HTTPTransport
import ObjectStore
import Testing

@testable import S3

@Suite("Listings")
struct ListingTests {
    private func listing(_ body: String, prefix: String = "p/") throws -> Listing {
        try Listing(
            Array("<?xml version=\"1.0\"?><ListBucketResult>\(body)</ListBucketResult>".utf8),
            prefix: Array(prefix.utf8))
    }

    private func entry(_ key: String) -> String { ScriptedAnswer.entry(key, eTag: "e", size: 5) }

    @Test("A document type is refused, so no entity ever expands")
    func entities() {
        let bomb = """
            <?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
            <ListBucketResult><Contents><Key>p/&b;</Key></Contents></ListBucketResult>
            """
        #expect(throws: ListingProblem.xml(.documentType)) { try Listing(Array(bomb.utf8), prefix: []) }
        #expect(throws: XMLProblem.documentType) { try AnswerDocument(Array(bomb.utf8)) }
    }

    @Test("Depth and length of texts are bounded")
    func bounds() {
        let deep = String(repeating: "<a>", count: 40)
        #expect(throws: ListingProblem.xml(.tooLarge)) { try listing(deep) }
        let long = "<NextContinuationToken>\(String(repeating: "x", count: 70_000))</NextContinuationToken>"
        #expect(throws: ListingProblem.xml(.tooLarge)) { try listing(long) }
        let many = (0...1000).map { entry("p/\($0)") }.joined()
        #expect(throws: ListingProblem.tooManyEntries) { try listing(many) }
    }

    @Test(
        "What is no listing is not an empty listing",
        arguments: [
            "", "<html><body>login</body></html>", "<ListBucketResult>", "<Error><Code>X</Code></Error>", "\u{0}",
        ])
    func notAListing(_ text: String) {
        #expect(throws: ListingProblem.self) { try Listing(Array(text.utf8), prefix: []) }
    }

    @Test(
        "An entry without size or tag, or outside the prefix, spoils the page",
        arguments: [
            "<Contents><Key>p/a</Key><ETag>e</ETag></Contents>",
            "<Contents><Key>p/a</Key><ETag>e</ETag><Size>-1</Size></Contents>",
            "<Contents><Key>p/a</Key><ETag>e</ETag><Size>99999999999999999999</Size></Contents>",
            "<Contents><Key>p/a</Key><Size>1</Size></Contents>",
            "<Contents><Key>q/a</Key><ETag>e</ETag><Size>1</Size></Contents>",
            "<CommonPrefixes><Prefix>q/</Prefix></CommonPrefixes>",
            "<EncodingType>url</EncodingType><Contents><Key>p/%zz</Key><ETag>e</ETag><Size>1</Size></Contents>",
        ])
    func spoiled(_ body: String) {
        #expect(throws: ListingProblem.self) { try listing(body) }
    }

    @Test("Encoded names are decoded, plus as space, wherever the page says that they are encoded")
    func encoding() throws {
        let entries = entry("p/a+b%2Bc%20%C3%A9%0A") + "<CommonPrefixes><Prefix>p%2Fd+/</Prefix></CommonPrefixes>"
        for body in ["<EncodingType>url</EncodingType>\(entries)", "\(entries)<EncodingType>url</EncodingType>"] {
            let page = try listing(body)
            #expect(page.objects.map(\.version.key.description) == ["p/a b+c é\n"])
            #expect(page.commonPrefixes.map { String(decoding: $0, as: UTF8.self) } == ["p/d /"])
        }
        #expect(try listing(entry("p/a+b%2Bc")).objects.map(\.version.key.description) == ["p/a+b%2Bc"])
    }

    @Test("An entry is read in all its fields; names that no key can have are counted")
    func fields() throws {
        let page = try listing(
            "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                + "<NextContinuationToken>a+b/=</NextContinuationToken><Name>x</Name><Prefix>p%2F</Prefix>"
                + "<Contents><Key>p/&amp;</Key><LastModified>2026-11-21T08:05:09.123Z</LastModified>"
                + "<ETag>&#34;e-1&#34;</ETag><Size>4294967296</Size><StorageClass>GLACIER</StorageClass>"
                + "<Owner><ID>1</ID></Owner></Contents>" + entry("p/%FF"))
        let object = try #require(page.objects.first)
        #expect(page.objects.count == 1 && page.unreadable == 1)
        #expect(object.version.key.description == "p/&" && object.version.eTag == ETag("e-1"))
        #expect(object.size == 1 << 32 && object.lastModified == 1_795_248_309 && object.isArchived)
        #expect(page.isTruncated && page.continuation == "a+b/=")
    }

    @Test(
        "A page that goes on must say where, and not where it began",
        arguments: ["", "<NextContinuationToken>t</NextContinuationToken>"])
    func circular(_ token: String) async throws {
        let transport = ScriptedTransport { _, _ in
            .xml("<ListBucketResult><IsTruncated>true</IsTruncated>\(token)</ListBucketResult>")
        }
        let request = ListRequest(prefix: Array("p/".utf8), delimited: true, continuation: "t")
        #expect(await code { _ = try await scriptedStore(transport).list(request, .metadata) } == .invalidAnswer)
    }

    @Test(
        "An answer that is no listing is asked for once more, and then is an error, not an empty directory",
        arguments: ["<html></html>", "<ListBucketResult><Contents>", "<Error><Code>InternalError</Code></Error>", ""])
    func nonsense(_ text: String) async throws {
        let once = ScriptedTransport { _, number in number == 0 ? .xml(text) : .listing(entry("p/a")) }
        let request = ListRequest(prefix: Array("p/".utf8), delimited: true)
        #expect(try await scriptedStore(once).list(request, .metadata).objects.count == 1)
        let always = ScriptedTransport { _, _ in .xml(text) }
        #expect(await code { _ = try await scriptedStore(always).list(request, .metadata) } == .invalidAnswer)
    }

    @Test("The request asks for encoded names below the prefix, and for no owners")
    func request() async throws {
        let transport = ScriptedTransport { _, _ in .listing() }
        var request = ListRequest(prefix: Array("p/a b/".utf8), delimited: true, maxKeys: 5000)
        request.startAfter = try key("p/a b/c")
        _ = try await scriptedStore(transport).list(request, .metadata)
        #expect(
            transport.requests.first?.url
                == "https://files.s3.eu-central-1.amazonaws.com/?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000"
                + "&prefix=p%2Fa%20b%2F&start-after=p%2Fa%20b%2Fc")
    }

    @Test(
        "Dates are right over leap years and centuries",
        arguments: [
            ("1970-01-01T00:00:00Z", Int64(0)), ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-21T08:05:09.000Z", 1_795_248_309), ("2100-03-01T00:00:00Z", 4_107_542_400),
        ])
    func dates(_ text: String, _ seconds: Int64) throws {
        let date = try #require(CivilDate(iso8601: Array(text.utf8)))
        #expect(date.secondsSince1970 == seconds)
        #expect(CivilDate(secondsSince1970: seconds) == date)
        #expect(CivilDate(iso8601: Array("2026-13-01T00:00:00".utf8)) == nil)
        #expect(CivilDate(iso8601: Array("yesterday".utf8)) == nil)
    }
}
