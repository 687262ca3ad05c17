// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/uuid.h"

#include "base/error.h"

#include <cerrno>
#include <sys/random.h>

namespace dmsnap {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::size_t text_length = 36;

constexpr bool dash_at(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

} // namespace

Uuid Uuid::random()
{
    Octets octets;
    if (getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
        throw Error("uuid", "draw random numbers", errno, "again");
    octets[6] = static_cast<std::uint8_t>((octets[6] & 0x0f) | 0x40);
    octets[8] = static_cast<std::uint8_t>((octets[8] & 0x3f) | 0x80);
    return Uuid(octets);
}

std::optional<Uuid> Uuid::from_text(std::string_view text)
{
    if (text.size() != text_length)
        return std::nullopt;
    Octets octets{};
    std::size_t nibble = 0;
    for (std::size_t i = 0; i < text_length; ++i) {
        if (dash_at(i)) {
            if (text[i] != '-')
                return std::nullopt;
            continue;
        }
        const auto value = hex_digits.find(text[i]);
        if (value == std::string_view::npos)
            return std::nullopt;
        octets[nibble / 2] = static_cast<std::uint8_t>(octets[nibble / 2] << 4 | value);
        ++nibble;
    }
    return Uuid(octets);
}

std::string Uuid::text() const
{
    std::string text;
    text.reserve(text_length);
    for (std::uint8_t octet : octets_) {
        if (dash_at(text.size()))
            text += '-';
        text += hex_digits[octet >> 4];
        text += hex_digits[octet & 15];
    }
    return text;
}

} // namespace dmsnap
