// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/device_number.h"

#include "base/text.h"

#include <fmt/format.h>

namespace dmsnap {

std::optional<DeviceNumber> DeviceNumber::from_text(std::string_view text)
{
    const auto colon = text.find(':');
    if (colon == std::string_view::npos)
        return std::nullopt;
    const auto major = parse_u32(text.substr(0, colon));
    const auto minor = parse_u32(text.substr(colon + 1));
    if (!major || !minor)
        return std::nullopt;
    return DeviceNumber{*major, *minor};
}

std::string DeviceNumber::text() const { return fmt::format("{}:{}", major, minor); }

} // namespace dmsnap
