import HTTPTransport
import Testing

struct Dates {
    @Test(
        "What is no date is refused",
        arguments: [
            "", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
        ])
    func refused(_ text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }

    static let known: [(String, Int64)] = [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600), ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799), ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800),
    ]

    @Test("Known dates are read and written", arguments: known)
    func both(_ text: String, _ seconds: Int64) {
        #expect(HTTPDate.parse(text) == seconds)
        #expect(HTTPDate.format(seconds) == text)
    }

    @Test("Days of four centuries, with each end of a month in some year, come back")
    func manyDays() {
        for day in stride(from: Int64(-60_000), to: 90_000, by: 5) {
            let seconds = day * 86_400 + 45_296
            if HTTPDate.parse(HTTPDate.format(seconds)) != seconds { Issue.record("day \(day)") }
        }
    }

    @Test("A leap second is read as the next second")
    func leapSecond() {
        #expect(HTTPDate.parse("Sat, 31 Dec 2016 23:59:60 GMT") == HTTPDate.parse("Sun, 01 Jan 2017 00:00:00 GMT"))
    }

    @Test("The server's clock is read from its answer")
    func serverDate() {
        let fields = [("date", "Sun, 06 Nov 1994 08:49:37 GMT")]
        #expect(HTTPResponse(status: 200, headers: fields.map { ($0, $1) }, body: []).serverDate == 784_111_777)
        #expect(HTTPResponse(status: 200, headers: [], body: []).serverDate == nil)
    }
}
