/// The time in HTTP's `Date` and `Last-Modified` fields: `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110
/// §5.6.7). The two obsolete forms, which no server has written for decades, are not read.
public enum HTTPDate {
    private static let dayNames = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let monthNames = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    private static let secondsPerDay: Int64 = 86_400

    /// Seconds since 1970; nil when `text` is no such date. The name of the day is not checked against the date.
    public static func parse(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 29, bytes[3] == UInt8(ascii: ","), bytes[19] == UInt8(ascii: ":"),
            bytes[22] == UInt8(ascii: ":"), bytes[25...].elementsEqual(" GMT".utf8),
            [4, 7, 11, 16].allSatisfy({ bytes[$0] == UInt8(ascii: " ") }),
            let month = monthNames.firstIndex(where: { bytes[8..<11].elementsEqual($0.utf8) }),
            let day = number(bytes[5..<7]), let year = number(bytes[12..<16]), let hour = number(bytes[17..<19]),
            let minute = number(bytes[20..<22]), let second = number(bytes[23..<25]),
            year >= 1, (1...daysIn(month + 1, year)).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = daysSince1970(year, month + 1, day)
        return days * secondsPerDay + Int64(hour * 3600 + minute * 60 + second)
    }

    /// The date of a whole number of seconds since 1970, for years 1 to 9999.
    public static func format(_ seconds: Int64) -> String {
        let day = (seconds - (seconds < 0 ? secondsPerDay - 1 : 0)) / secondsPerDay
        let second = Int(seconds - day * secondsPerDay)
        let weekday = Int(((day + 4) % 7 + 7) % 7)
        let date = civil(day)
        let name = "\(dayNames[weekday]), \(padded(date.day, 2)) \(monthNames[date.month - 1]) \(padded(date.year, 4))"
        return "\(name) \(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)) GMT"
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return value
    }

    private static func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func isLeap(_ year: Int) -> Bool {
        year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
    }

    private static func daysIn(_ month: Int, _ year: Int) -> Int {
        month == 2 ? (isLeap(year) ? 29 : 28) : ([4, 6, 9, 11].contains(month) ? 30 : 31)
    }

    /// Days before the first of January of `year`, counted from the year 1.
    private static func daysBefore(_ year: Int) -> Int {
        let past = year - 1
        return past * 365 + past / 4 - past / 100 + past / 400
    }

    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
        let inYear = (1..<month).reduce(0) { $0 + daysIn($1, year) } + day - 1
        return Int64(daysBefore(year) + inYear - daysBefore(1970))
    }

    private static func civil(_ daysSince1970: Int64) -> (year: Int, month: Int, day: Int) {
        let day = Int(daysSince1970) + daysBefore(1970)
        var year = day / 366 + 1
        while daysBefore(year + 1) <= day { year += 1 }
        var rest = day - daysBefore(year)
        var month = 1
        while rest >= daysIn(month, year) {
            rest -= daysIn(month, year)
            month += 1
        }
        return (year, month, rest + 1)
    }
}

extension HTTPResponse {
    /// The server's clock when it answered, in seconds since 1970; nil where it did not say.
    public var serverDate: Int64? { self["Date"].flatMap(HTTPDate.parse) }
}
