// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/error.h"

#include <string>

namespace dmsnap::tool {

/// Sends diagnostics, libdevmapper's too, to standard error, and to the journal where that is no terminal.
/// 0 are warnings and errors; each step more says more; -1 errors alone.
void set_up_log(int verbosity);

/// "dmsnap: DEVICE: cannot OPERATION: REASON" and "  try: NEXT STEP".
void log_error(const Error& error);
/// The one that may have several lines, and prints them as they are.
void log_error(const std::string& text);
void log_warning(const std::string& text);
/// How far something is that takes long: on standard error, unless --quiet.
void log_progress(const std::string& text);
/// Seen with --verbose.
void log_info(const std::string& text);

} // namespace dmsnap::tool
