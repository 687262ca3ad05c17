// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "dm/cookie.h"

#include <functional>
#include <optional>
#include <string>

namespace dmsnap {

/// Keeps every other dmsnap that changes something away, for as long as it lives.  Its file also carries the udev
/// cookie in use, so that the next holder can end the one of a holder that was killed.
class GlobalLock final : public CookieNote {
public:
    /// Waits; `waiting` is called once, with a line to say, if it has to.  Ends a cookie found in the file.
    /// Throws Error (Fault::cannot_start).
    explicit GlobalLock(const std::function<void(const std::string& line)>& waiting = {});

    ~GlobalLock() override;
    GlobalLock(const GlobalLock&) = delete;
    GlobalLock& operator=(const GlobalLock&) = delete;

    void write(std::optional<std::uint32_t> cookie) override;

private:
    int fd_;
};

} // namespace dmsnap
