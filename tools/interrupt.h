// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <array>
#include <csignal>
#include <cstddef>

namespace dmsnap::tool {

/// While it lives, the signals that ask a program to end only leave word, each the first time: for work that has something
/// to put away first.  Those that are ignored stay so, and so is a reader that goes away.  One at a time.
class Interrupt {
public:
    Interrupt()
    {
        word() = 0;
        for (std::size_t i = 0; i < signals.size(); ++i) {
            struct sigaction note = {};
            note.sa_flags = static_cast<int>(SA_RESETHAND);
            note.sa_handler = [](int) { word() = 1; };
            if (signals[i] == SIGPIPE)
                note.sa_handler = SIG_IGN;
            sigaction(signals[i], &note, &before_[i]);
            if (before_[i].sa_handler == SIG_IGN)
                sigaction(signals[i], &before_[i], nullptr);
        }
    }
    ~Interrupt()
    {
        for (std::size_t i = 0; i < signals.size(); ++i)
            sigaction(signals[i], &before_[i], nullptr);
    }
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    bool came() const { return word() != 0; }

private:
    static constexpr std::array signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

    static volatile std::sig_atomic_t& word()
    {
        static volatile std::sig_atomic_t came = 0;
        return came;
    }

    std::array<struct sigaction, signals.size()> before_{};
};

} // namespace dmsnap::tool
