import TOMLKit

/// Reads `mount.conf`.
enum MountConf {
    /// What the file sets, in its own words.
    struct Assignment: Sendable {
        let setting: Setting
        let raw: RawValue
        let line: Int?
    }

    /// Puts every setting of `file` into `settings`.
    static func read(_ file: SettingsFile, into settings: inout MountSettings) throws(SettingsError) {
        for assignment in try assignments(file) {
            let (setting, raw) = (assignment.setting, assignment.raw)
            guard setting.form.store(raw, in: &settings) else {
                let found = setting.isSecret ? "" : ", not \(raw.shown)"
                let place = place(file, assignment.line)
                throw SettingsError(
                    .badValue, "\(place): \(setting.qualifiedName) must be \(setting.expectation)\(found).")
            }
        }
    }

    static func assignments(_ file: SettingsFile) throws(SettingsError) -> [Assignment] {
        let sections = try tables(file)
        let lines = LineIndex(file.text)
        var found: [Assignment] = []
        for (name, entries) in sections {
            guard let section = Setting.Section(rawValue: name) else {
                throw unknownSection(name, isTable: entries != nil, file, lines)
            }
            guard let entries else {
                let place = place(file, lines.line(of: name, in: nil))
                throw SettingsError(.badValue, "\(place): \(name) is a section; write [\(name)] on a line of its own.")
            }
            for (key, raw) in entries {
                let line = lines.line(of: key, in: name)
                guard let setting = Setting.all.first(where: { $0.section == section && $0.name == key }) else {
                    throw unknownKey(key, section, place(file, line))
                }
                found.append(Assignment(setting: setting, raw: raw, line: line))
            }
        }
        return found.sorted { ($0.line ?? 0) < ($1.line ?? 0) }
    }

    private static func place(_ file: SettingsFile, _ line: Int?) -> String {
        line.map { "\(file.path):\($0)" } ?? file.path
    }

    private static func unknownSection(
        _ name: String, isTable: Bool, _ file: SettingsFile, _ lines: LineIndex
    ) -> SettingsError {
        let place = place(file, isTable ? lines.line(ofSection: name) : lines.line(of: name, in: nil))
        if let setting = Setting.named(name), !isTable {
            return SettingsError(.unknownName, "\(place): \(name) belongs below [\(setting.section.rawValue)].")
        }
        let known = Setting.Section.allCases.map(\.rawValue)
        let list = known.map { "[\($0)]" }.joined(separator: ", ")
        guard isTable else {
            let hint = suggestion(for: name, in: Setting.all.map(\.name))
            return SettingsError(
                .unknownName, "\(place): there is no setting \(name), and settings stand in one of \(list).\(hint)")
        }
        let hint = suggestion(for: name, in: known)
        return SettingsError(.unknownName, "\(place): there is no section [\(name)]; there are \(list).\(hint)")
    }

    private static func unknownKey(_ key: String, _ section: Setting.Section, _ place: String) -> SettingsError {
        if let elsewhere = Setting.all.first(where: { $0.name == key }) {
            return SettingsError(
                .unknownName,
                "\(place): \(key) belongs below [\(elsewhere.section.rawValue)], not [\(section.rawValue)].")
        }
        let known = Setting.all.filter { $0.section == section }.map(\.name)
        let near = nearestName(to: key, in: known) ?? nearestName(to: key, in: Setting.all.map(\.name))
        let hint =
            near.map { " Did you mean `\($0)`?" } ?? " [\(section.rawValue)] has \(known.joined(separator: ", "))."
        return SettingsError(.unknownName, "\(place): there is no setting \(key) in [\(section.rawValue)].\(hint)")
    }

    /// The sections with their entries, copied out of the parser's memory; nil for a key that isn't in a section.
    private static func tables(
        _ file: SettingsFile
    ) throws(SettingsError) -> [(String, [(String, RawValue)]?)] {
        let root: TOMLTable
        do {
            root = try TOMLTable(string: file.text)
        } catch let error as TOMLParseError {
            let begin = error.source.begin
            throw SettingsError(
                .malformed, "\(file.path):\(begin.line):\(begin.column): not TOML: \(error.description)")
        } catch {
            throw SettingsError(.malformed, "\(file.path): not TOML: \(error)")
        }
        // Inner tables point into the root's memory.
        return withExtendedLifetime(root) {
            root.keys.map { name in
                guard let table = root[name]?.table else { return (name, nil) }
                return (name, table.keys.map { key in (key, rawValue(table[key])) })
            }
        }
    }

    private static func rawValue(_ value: (any TOMLValueConvertible)?) -> RawValue {
        guard let value else { return .other("nothing") }
        switch value.type {
        case .string: return .text(value.string ?? "")
        case .int: return .integer(Int64(value.int ?? 0))
        case .double: return .real(value.double ?? 0)
        case .bool: return .flag(value.bool ?? false)
        case .table: return .other("a table")
        case .array: return .other("a list")
        case .date, .time, .dateTime: return .other("a date or time of day")
        }
    }
}
