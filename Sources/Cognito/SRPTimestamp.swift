/// The time as Cognito signs it: `Sun Nov 1 08:05:09 UTC 2026`, English names, no zero before the day.
///
/// Made by hand: a formatter may pick up a locale, and a padded day parses on the server and then fails as a wrong password.
enum SRPTimestamp {
    private static let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `seconds` since 1970, before the year 10,000.
    static func text(_ seconds: Int64) -> String {
        let day = seconds / 86_400
        let second = Int(seconds % 86_400)
        let (year, month, dayOfMonth) = civil(day)
        let time = [second / 3600, second / 60 % 60, second % 60].map(twoDigits).joined(separator: ":")
        return "\(weekdays[Int(day % 7)]) \(months[month - 1]) \(dayOfMonth) \(time) UTC \(year)"
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    /// Year, month (1 to 12) and day of month of a day counted from 1970-01-01, in the Gregorian calendar.
    private static func civil(_ day: Int64) -> (year: Int64, month: Int, day: Int) {
        var year: Int64 = 1970
        var rest = day
        while rest >= daysIn(year) {
            rest -= daysIn(year)
            year += 1
        }
        let lengths = [31, daysIn(year) == 366 ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var month = 0
        var left = Int(rest)
        while left >= lengths[month] {
            left -= lengths[month]
            month += 1
        }
        return (year, month + 1, left + 1)
    }

    private static func daysIn(_ year: Int64) -> Int64 {
        (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365
    }
}
