// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <csignal>

namespace dmsnap {

/// Keeps every signal waiting while it lives, Ctrl-Z and those that nobody ever sends too: for what must not be left half
/// done.  A fault of the program's own ends it all the same: the kernel does not let that wait.  A child is born so too.
class SignalsWait {
public:
    /// Lets them through for a while, those that have waited too.
    class Pause {
    public:
        explicit Pause(const SignalsWait& wait) { pthread_sigmask(SIG_SETMASK, &wait.before_, nullptr); }
        ~Pause() { block(nullptr); }
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
    };

    SignalsWait() { block(&before_); }
    ~SignalsWait() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsWait(const SignalsWait&) = delete;
    SignalsWait& operator=(const SignalsWait&) = delete;

private:
    static void block(sigset_t* before)
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, before);
    }

    sigset_t before_{};
};

} // namespace dmsnap
