// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"

#include "base/text.h"
#include "dm/libdevmapper.h"

#include <cerrno>
#include <memory>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace dmsnap::tool {
namespace {

constexpr const char* journal_socket = "/run/systemd/journal/socket";

spdlog::level::level_enum level_of(int verbosity)
{
    if (verbosity < 0)
        return spdlog::level::err;
    switch (verbosity) {
    case 0: return spdlog::level::warn;
    case 1: return spdlog::level::info;
    case 2: return spdlog::level::debug;
    default: return spdlog::level::trace;
    }
}

/// Names in a message are whatever somebody chose: they end no line and steer no terminal.
std::string one_line(std::string_view text) { return printable(text, std::string_view::npos); }

/// libdevmapper's error is the Error we throw, in other words: a level below ours.
void take_dm_line(DmLogLevel level, const std::string& line)
{
    const std::string text = "libdevmapper: " + printable(line, 1024);
    if (level <= DmLogLevel::warning)
        spdlog::info("{}", text);
    else if (level <= DmLogLevel::notice)
        spdlog::debug("{}", text);
    else
        spdlog::trace("{}", text);
}

/// No error is without one: where its thrower could not know better, the place that says most.
std::string next_step_of(const Error& error)
{
    if (!error.next_step().empty())
        return error.next_step();
    if (error.fault() == Fault::usage)
        return "dmsnap help";
    if (error.number() == ENOMEM)
        return "again when there is memory";
    if (error.number() != 0)
        return "dmesg, where the kernel may have said more";
    return "dmsnap check, which says what is wrong now";
}

} // namespace

void set_up_log(int verbosity)
{
    auto log = std::make_shared<spdlog::logger>("dmsnap", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    if (isatty(STDERR_FILENO) == 0 && access(journal_socket, F_OK) == 0)
        log->sinks().push_back(std::make_shared<spdlog::sinks::systemd_sink_mt>("dmsnap"));
    log->sinks().front()->set_pattern("dmsnap: %v");
    log->set_level(level_of(verbosity));
    log->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(log));
    set_dm_log_sink(take_dm_line);
}

void log_error(const Error& error)
{
    spdlog::error("{}\n  try: {}", one_line(error.what()), one_line(next_step_of(error)));
}

void log_error(const std::string& text) { spdlog::error("{}", text); }
void log_warning(const std::string& text) { spdlog::warn("{}", one_line(text)); }
void log_progress(const std::string& text)
{
    if (spdlog::should_log(spdlog::level::warn))
        spdlog::default_logger()->sinks().front()->log({"dmsnap", spdlog::level::info, one_line(text)});
}

void log_info(const std::string& text) { spdlog::info("{}", one_line(text)); }

} // namespace dmsnap::tool
