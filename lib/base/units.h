// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace dmsnap {

/// A position or a length in bytes.
struct Bytes {
    std::uint64_t count = 0;
    auto operator<=>(const Bytes&) const = default;
};

/// A position or a length in 512-byte sectors, whatever the device's block size.
struct Sectors {
    static constexpr unsigned shift = 9;

    std::uint64_t count = 0;

    /// Throws Error(EINVAL) unless `bytes` is whole sectors: rounding is the caller's decision.
    static Sectors exactly(Bytes bytes);
    constexpr Bytes bytes() const { return {count << shift}; }
    auto operator<=>(const Sectors&) const = default;
};

constexpr Sectors operator+(Sectors a, Sectors b) { return {a.count + b.count}; }
constexpr Sectors operator-(Sectors a, Sectors b) { return {a.count - b.count}; }
/// The largest multiple of `unit`, a power of two, that is not above `length`.
constexpr Sectors round_down(Sectors length, Sectors unit) { return {length.count & ~(unit.count - 1)}; }

/// A size as LVM's options take it: "16k", "1.5g", "8192s"; units bskmgtpe in either case, always powers of 1024.
/// A number without a unit counts `default_unit`s.  Throws Error (Fault::usage) for all else: signs, unknown units,
/// sizes that are no whole sectors or do not fit.
Sectors parse_size(std::string_view text, char default_unit);

/// Whether it can be a chunk, the unit of tracking and copying: a power of two within the interface's bounds.
bool is_chunk(Sectors size);
/// The same size.  Throws Error (Fault::usage) unless it can be a chunk.
Sectors checked_chunk(Sectors chunk);

/// "16k", "1g", "12345s": the shortest exact form that parse_size() reads back.
std::string exact_size(Sectors size);

/// A size as LVM's --units print it: 'r' and 'h' what reads best ('r' with '<' in front of what was rounded up), else one
/// of bskmgtpe for powers of 1024, in upper case of 1000.  Throws Error (Fault::usage) for another letter.
std::string show_size(Bytes size, char unit);

namespace literals {
constexpr Sectors operator""_s(unsigned long long count) { return {count}; }
constexpr Bytes operator""_KiB(unsigned long long count) { return {count << 10}; }
constexpr Bytes operator""_MiB(unsigned long long count) { return {count << 20}; }
constexpr Bytes operator""_GiB(unsigned long long count) { return {count << 30}; }
} // namespace literals

} // namespace dmsnap
