// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace dmsnap {

/// The name of a point: [A-Za-z0-9+_.-], at most 127, not starting with '-', not "." or "..".
class PointName {
public:
    /// Throws Error (Fault::usage), naming the rule that was broken.
    explicit PointName(std::string text);
    const std::string& text() const { return text_; }
    auto operator<=>(const PointName&) const = default;

private:
    std::string text_;
};

/// The name of a device-mapper device, as the kernel knows it (never mangled): 1 to 127 bytes, no '/'.
class DmName {
public:
    /// Throws Error.
    explicit DmName(std::string text);
    const std::string& text() const { return text_; }
    auto operator<=>(const DmName&) const = default;

private:
    std::string text_;
};

} // namespace dmsnap
