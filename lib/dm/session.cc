// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm/session.h"

#include "dm/libdevmapper.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <libdevmapper.h>

namespace dmsnap {
namespace {

// The process's own, because libdevmapper's log function is: see set_dm_log_sink().  Under the session's mutex.
struct LogState {
    DmLogSink sink;
    CapturedOutput* captured = nullptr;
    bool quiet = false;
};

std::mutex& session_mutex()
{
    static std::mutex mutex;
    return mutex;
}

LogState& log_state()
{
    static LogState state;
    return state;
}

// Of libdevmapper's log.h, which is not installed: bits that come with a level.
constexpr int level_mask = 0x07;
constexpr int to_stderr = 0x80;

__attribute__((format(printf, 5, 6))) void take_line(
    int level, const char* /*file*/, int /*line*/, int /*number*/, const char* format, ...)
{
    char text[4096];
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    LogState& state = log_state();
    const auto severity = static_cast<DmLogLevel>(std::clamp(level & level_mask, 2, 7));
    // Lines of a report come as warnings that are not for stderr.
    if (severity == DmLogLevel::warning && (level & to_stderr) == 0 && state.captured != nullptr)
        state.captured->text += std::string(text) + "\n";
    else if (state.sink && !(state.quiet && severity <= DmLogLevel::warning))
        state.sink(severity, text);
}

void set_up_once()
{
    static const bool done = [] {
        dm_log_with_errno_init(take_line);
        // The library talks at every level; the sink chooses.
        dm_log_init_verbose(1);
        // Names are checked here, and mangled ones would have to be unmangled in every message.
        dm_set_name_mangling_mode(DM_STRING_MANGLING_NONE);
        return true;
    }();
    static_cast<void>(done);
}

} // namespace

DmSession::DmSession() : turn_(session_mutex()) { set_up_once(); }

QuietLog::QuietLog() { log_state().quiet = true; }
QuietLog::~QuietLog() { log_state().quiet = false; }

CapturedOutput::CapturedOutput() { log_state().captured = this; }
CapturedOutput::~CapturedOutput() { log_state().captured = nullptr; }

void set_dm_log_sink(DmLogSink sink)
{
    const std::lock_guard turn(session_mutex());
    log_state().sink = std::move(sink);
}

} // namespace dmsnap
