// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "dm/cookie.h"
#include "plan/dm.h"

#include <functional>
#include <memory>
#include <string>

namespace dmsnap {

/// libdevmapper's log levels, in its own order.
enum class DmLogLevel { fatal = 2, error = 3, warning = 4, notice = 5, info = 6, debug = 7 };
using DmLogSink = std::function<void(DmLogLevel level, const std::string& line)>;

/// Where libdevmapper's diagnostics go from now on; the first state of the library that is the process's own, because
/// libdevmapper knows only one log function.  Without a sink they are dropped.
void set_dm_log_sink(DmLogSink sink);

/// Dm on libdevmapper.  All calls of the process take one mutex: libdevmapper is not made for threads.
/// `note`, which may be nullptr, outlives it and is told of each udev cookie.
/// Throws Error (Fault::cannot_start) if device-mapper cannot be talked to.
std::unique_ptr<Dm> make_libdevmapper(CookieNote* note = nullptr);

} // namespace dmsnap
