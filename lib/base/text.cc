// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"

#include <charconv>
#include <fmt/format.h>

namespace dmsnap {
namespace {

template <typename Number> std::optional<Number> parse_number(std::string_view text)
{
    Number value{};
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (text.empty() || result.ec != std::errc() || result.ptr != end)
        return std::nullopt;
    return value;
}

std::optional<unsigned> hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return static_cast<unsigned>(c - '0');
    c = static_cast<char>(c | 0x20);
    if (c >= 'a' && c <= 'f')
        return static_cast<unsigned>(c - 'a' + 10);
    return std::nullopt;
}

/// Bytes of the well-formed UTF-8 character at the front, 0 if there is none.
std::size_t utf8_length(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    std::size_t length = 0;
    if (byte(0) < 0x80)
        length = 1;
    else if (byte(0) >= 0xc2 && byte(0) < 0xe0)
        length = 2;
    else if (byte(0) >= 0xe0 && byte(0) < 0xf0)
        length = 3;
    else if (byte(0) >= 0xf0 && byte(0) < 0xf5)
        length = 4;
    if (length == 0 || length > text.size())
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80)
            return 0;
    return length;
}

bool is_control(std::string_view character)
{
    const auto first = static_cast<unsigned char>(character[0]);
    if (character.size() == 1)
        return first < 0x20 || first == 0x7f;
    // U+0080 to U+009F steer a terminal as ESC does.
    return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

/// Every byte that is not plain in the shape \ooo, which an x in it would not end where it must.
std::string escaped_shell_word(std::string_view text)
{
    std::string result = "$'";
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        result +=
            byte <= 0x20 || byte >= 0x7f || c == '\'' || c == '\\' ? fmt::format("\\{:03o}", byte) : std::string(1, c);
    }
    return result + "'";
}

} // namespace

std::vector<std::string_view> words(std::string_view line)
{
    std::vector<std::string_view> result;
    std::size_t at = 0;
    while ((at = line.find_first_not_of(" \t", at)) != std::string_view::npos) {
        const auto end = std::min(line.find_first_of(" \t", at), line.size());
        result.push_back(line.substr(at, end - at));
        at = end;
    }
    return result;
}

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> result;
    std::size_t at = 0;
    for (;;) {
        const auto end = text.find(separator, at);
        if (end == std::string_view::npos)
            break;
        result.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    result.push_back(text.substr(at));
    return result;
}

std::vector<std::string_view> lines(std::string_view text)
{
    auto result = split(text, '\n');
    if (result.back().empty())
        result.pop_back();
    return result;
}

std::optional<std::uint64_t> parse_u64(std::string_view text) { return parse_number<std::uint64_t>(text); }
std::optional<std::uint32_t> parse_u32(std::string_view text) { return parse_number<std::uint32_t>(text); }

std::string to_hex(const Blob& bytes)
{
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::optional<Blob> from_hex(std::string_view text)
{
    if (text.size() % 2 != 0)
        return std::nullopt;
    Blob bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const auto high = hex_value(text[i]);
        const auto low = hex_value(text[i + 1]);
        if (!high || !low)
            return std::nullopt;
        bytes.push_back(static_cast<std::uint8_t>(*high << 4 | *low));
    }
    return bytes;
}

std::string shell_word(std::string_view text)
{
    if (printable(text, std::string_view::npos) != text)
        return escaped_shell_word(text);
    std::string result = "'";
    for (char c : text)
        result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + "'";
}

std::string printable(std::string_view text, std::size_t limit)
{
    std::string result;
    while (!text.empty()) {
        const auto length = utf8_length(text);
        const auto character = text.substr(0, std::max<std::size_t>(length, 1));
        const auto piece = length == 0 || is_control(character)
                               ? fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]))
                               : std::string(character);
        if (result.size() + piece.size() > limit)
            return result + "...";
        result += piece;
        text.remove_prefix(length == 0 || is_control(character) ? 1 : length);
    }
    return result;
}

} // namespace dmsnap
