# shellcheck shell=bash
# Read by the scripts here: where the package is, and a PATH with Swift in it. Sets `root`, goes there.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

swift_wanted=6.3
if ! command -v swift >/dev/null && [[ -x /opt/swift/usr/bin/swift ]]; then
    PATH=/opt/swift/usr/bin:$PATH
fi
export PATH

# Ends the script with one sentence.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# True when the Swift on PATH is new enough.
has_swift() {
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
    [[ -n $version && $(printf '%s\n%s\n' "$swift_wanted" "$version" | sort -V | head -n 1) == "$swift_wanted" ]]
}

swift_advice() {
    echo "Swift $swift_wanted or later is not on PATH; https://www.swift.org/install/linux/ says how to get it"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo; as root run: $*"
    fi
}

# The comment at the top of the script that runs.
show_help() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
}
