// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/units.h"

#include "base/error.h"
#include "dm-interpose.h"

#include <bit>
#include <cerrno>
#include <fmt/format.h>
#include <limits>
#include <optional>

namespace dmsnap {
namespace {

constexpr std::string_view unit_letters = "bskmgtpe";

Error bad_size(std::string_view text, std::string reason)
{
    return Error(fmt::format("size \"{}\"", text), "use it", std::move(reason),
        "a number with one of the units b s k m g t p e, such as 16k or 1.5g")
        .as(Fault::usage);
}

/// Bytes in one unit; nothing for a letter that is none.
std::optional<std::uint64_t> unit_bytes(char letter)
{
    switch (letter | 0x20) {
    case 'b': return 1;
    case 's': return 512;
    case 'k': return std::uint64_t{1} << 10;
    case 'm': return std::uint64_t{1} << 20;
    case 'g': return std::uint64_t{1} << 30;
    case 't': return std::uint64_t{1} << 40;
    case 'p': return std::uint64_t{1} << 50;
    case 'e': return std::uint64_t{1} << 60;
    default: return std::nullopt;
    }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// "1.50g"; `rounding` puts '<' before a number that is larger than what it stands for.
std::string scaled(std::uint64_t bytes, std::uint64_t unit, char letter, bool rounding)
{
    __extension__ using Wide = unsigned __int128;
    const auto hundredths = static_cast<std::uint64_t>((Wide{bytes} * 100 + unit / 2) / unit);
    const bool rounded_up = Wide{hundredths} * unit > Wide{bytes} * 100;
    return fmt::format("{}{}.{:02}{}", rounding && rounded_up ? "<" : "", hundredths / 100, hundredths % 100, letter);
}

/// Bytes in one unit of --units; nothing for a letter that is none.
std::optional<std::uint64_t> shown_unit_bytes(char letter)
{
    const auto binary = unit_bytes(letter);
    if (!binary || letter >= 'a' || letter == 'B' || letter == 'S')
        return binary;
    std::uint64_t decimal = 1;
    for (std::uint64_t factor = *binary; factor > 1; factor /= 1024)
        decimal *= 1000;
    return decimal;
}

} // namespace

Sectors Sectors::exactly(Bytes bytes)
{
    if (bytes.count % 512 != 0)
        throw Error(fmt::format("{} bytes", bytes.count), "count in sectors", EINVAL);
    return {bytes.count >> shift};
}

Sectors parse_size(std::string_view text, char default_unit)
{
    std::string_view number = text;
    char letter = default_unit;
    if (!number.empty() && !is_digit(number.back()) && number.back() != '.') {
        letter = number.back();
        number.remove_suffix(1);
    }
    const auto unit = unit_bytes(letter);
    if (!unit || unit_letters.find(static_cast<char>(letter | 0x20)) == std::string_view::npos)
        throw bad_size(text, fmt::format("\"{}\" is no unit", letter));

    // Fixed point with 128 bits: the fraction is exact to 18 digits, more than a size in bytes can need.
    __extension__ using Wide = unsigned __int128;
    Wide value = 0;
    Wide scale = 1;
    bool fraction = false;
    unsigned digits = 0;
    for (char c : number) {
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!is_digit(c) || ++digits > 19)
            throw bad_size(text, "it is no number");
        value = value * 10 + static_cast<unsigned>(c - '0');
        if (fraction)
            scale *= 10;
    }
    if (digits == 0)
        throw bad_size(text, "it is no number");
    const Wide scaled = value * *unit;
    if (scaled % (scale * 512) != 0)
        throw bad_size(text, "it is no multiple of 512 bytes");
    const Wide bytes = scaled / scale;
    if (bytes > std::numeric_limits<std::int64_t>::max())
        throw bad_size(text, "it is too large");
    return Sectors::exactly({static_cast<std::uint64_t>(bytes)});
}

bool is_chunk(Sectors size)
{
    return std::has_single_bit(size.count) && size.count >= INTERPOSE_CHUNK_SECTORS_MIN &&
           size.count <= INTERPOSE_CHUNK_SECTORS_MAX;
}

Sectors checked_chunk(Sectors chunk)
{
    if (is_chunk(chunk))
        return chunk;
    throw Error(fmt::format("chunk size {}", exact_size(chunk)), "use it",
        fmt::format("it must be a power of two from {} to {}", exact_size({INTERPOSE_CHUNK_SECTORS_MIN}),
            exact_size({INTERPOSE_CHUNK_SECTORS_MAX})),
        exact_size({INTERPOSE_CHUNK_SECTORS_DEFAULT}))
        .as(Fault::usage);
}

std::string exact_size(Sectors size)
{
    static constexpr std::string_view letters = "kmgtpe";
    if (size.count == 0 || size.count % 2 != 0)
        return fmt::format("{}s", size.count);
    std::uint64_t count = size.count / 2;
    std::size_t letter = 0;
    while (count % 1024 == 0 && letter + 1 < letters.size()) {
        count /= 1024;
        ++letter;
    }
    return fmt::format("{}{}", count, letters[letter]);
}

std::string show_size(Bytes size, char unit)
{
    if (unit == 'r' || unit == 'h') {
        static constexpr std::string_view letters = "bkmgtpe";
        std::size_t i = 0;
        while (i + 1 < letters.size() && size.count >= *unit_bytes(letters[i + 1]))
            ++i;
        return i == 0 ? fmt::format("{}b", size.count)
                      : scaled(size.count, *unit_bytes(letters[i]), letters[i], unit == 'r');
    }
    const auto bytes = shown_unit_bytes(unit);
    if (!bytes)
        throw Error(fmt::format("unit \"{}\"", unit), "use it", "it is none of r h b s k m g t p e", "one of these")
            .as(Fault::usage);
    if (unit == 'b' || unit == 'B')
        return fmt::format("{}B", size.count);
    if (unit == 's' || unit == 'S')
        return fmt::format("{}S", size.count / *bytes);
    return scaled(size.count, *bytes, unit, false);
}

} // namespace dmsnap
