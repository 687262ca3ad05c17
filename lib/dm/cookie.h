// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The semaphore that libdevmapper waits for udevd with.  The kernel keeps it when its maker is killed.
#pragma once

#include <cstdint>
#include <optional>

namespace dmsnap {

/// Where the cookie in use is noted for whoever comes after a kill.
class CookieNote {
public:
    virtual ~CookieNote() = default;
    /// Called with a cookie before it exists, and with nothing once it is gone.  Throws Error.
    virtual void write(std::optional<std::uint32_t> cookie) = 0;
};

/// A cookie that nobody uses yet.
std::uint32_t free_cookie();
/// Makes its semaphore.  Throws Error; EEXIST if somebody was faster.
void make_cookie(std::uint32_t cookie);
/// Removes its semaphore, if it is there.
void end_cookie(std::uint32_t cookie);

} // namespace dmsnap
