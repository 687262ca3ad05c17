// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <mutex>
#include <string>

namespace dmsnap {

/// The right to call libdevmapper, which is not made for threads: one a process at a time.  Internal to lib/dm.
class DmSession {
public:
    /// Waits for its turn.  The first one in a process sets libdevmapper up.
    DmSession();

private:
    std::lock_guard<std::mutex> turn_;
};

/// Drops libdevmapper's errors while it lives: for questions whose "no" is an answer.  Needs a DmSession.
class QuietLog {
public:
    QuietLog();
    ~QuietLog();
    QuietLog(const QuietLog&) = delete;
    QuietLog& operator=(const QuietLog&) = delete;
};

/// Catches what libdevmapper prints, the lines of a report, while it lives.  Needs a DmSession.
class CapturedOutput {
public:
    CapturedOutput();
    ~CapturedOutput();
    CapturedOutput(const CapturedOutput&) = delete;
    CapturedOutput& operator=(const CapturedOutput&) = delete;

    std::string text;
};

} // namespace dmsnap
