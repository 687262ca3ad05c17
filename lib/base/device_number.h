// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

/// A block device's number; "8:16" as text.
struct DeviceNumber {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;

    static std::optional<DeviceNumber> from_text(std::string_view text);
    std::string text() const;
    auto operator<=>(const DeviceNumber&) const = default;
};

} // namespace dmsnap
