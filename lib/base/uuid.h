// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

/// 16 bytes in RFC 4122 order; as text 36 characters, lower case.
class Uuid {
public:
    using Octets = std::array<std::uint8_t, 16>;

    constexpr Uuid() = default;
    constexpr explicit Uuid(const Octets& octets) : octets_(octets) {}

    /// A version 4 uuid from the kernel's random numbers.
    static Uuid random();
    /// Nothing unless `text` is exactly a lower-case uuid.
    static std::optional<Uuid> from_text(std::string_view text);

    std::string text() const;
    /// The first 8 hex digits: the ID in the names of private devices.
    std::string id() const { return text().substr(0, 8); }
    const Octets& octets() const { return octets_; }
    auto operator<=>(const Uuid&) const = default;

private:
    Octets octets_{};
};

} // namespace dmsnap
