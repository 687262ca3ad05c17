// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// Bytes without a meaning of their own, such as a point's user data.
using Blob = std::vector<std::uint8_t>;

/// Words separated by any number of spaces or tabs.
std::vector<std::string_view> words(std::string_view line);
/// Lines without their ends; a last empty one does not count.
std::vector<std::string_view> lines(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);

/// Decimal digits and nothing else; nothing if there are none or they do not fit.
std::optional<std::uint64_t> parse_u64(std::string_view text);
std::optional<std::uint32_t> parse_u32(std::string_view text);

std::string to_hex(const Blob& bytes);
/// Nothing unless `text` is pairs of hex digits; "" is no bytes.
std::optional<Blob> from_hex(std::string_view text);

/// One word to a shell, whatever is in it.
std::string shell_word(std::string_view text);

/// A name from elsewhere made safe for a terminal and short: control characters and invalid UTF-8 as \xNN, at most
/// `limit` bytes, "..." in place of the rest.
std::string printable(std::string_view text, std::size_t limit = 256);

} // namespace dmsnap
