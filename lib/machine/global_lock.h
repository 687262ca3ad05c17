// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "dm/cookie.h"
#include "world/file.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace dmsnap {

/// Keeps every other dmsnap that changes something away, for as long as it lives.  Its file also carries the udev
/// cookie in use, so that the next holder can end the one of a holder that was killed.
class GlobalLock final : public CookieNote {
public:
    /// Waits; `waiting` is called once, with a line to say, if it has to.  Ends a cookie found in the file.  Anybody may
    /// make things where `folder` lies: one that is not our user's alone is not used.
    /// Throws Error (Fault::cannot_start).
    explicit GlobalLock(const std::function<void(const std::string& line)>& waiting = {},
        const std::filesystem::path& folder = "/run/lock/dmsnap");

    void write(std::optional<std::uint32_t> cookie) override;

private:
    File file_;
};

} // namespace dmsnap
