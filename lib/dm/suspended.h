// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

namespace dmsnap {

/// What a section tells.  Fits into a pipe at once.
struct Report {
    int number = 0; ///< errno value of the request that failed
    const char* subject = "";
    const char* operation = "";
    const char* reason = nullptr; ///< instead of the errno value's; all texts are from before the fork
    const char* next_step = "dmesg | tail: the kernel's own sentence about it is there";

    /// Notes it; whether it is a failure.
    bool fails(int errno_value, const char* what, const char* doing) noexcept
    {
        *this = {errno_value, what, doing};
        return errno_value != 0;
    }
};

/// What is done while a device is suspended.  Internal to lib/dm.
class Section {
public:
    virtual ~Section() = default;

    /// Looks at what is there, before anything is done.  0 or an errno value.
    virtual int note(int control) = 0;
    /// The device, for an Error.
    virtual const char* device() const noexcept = 0;
    /// When it was looked at: by one that died.
    virtual bool was_suspended() const noexcept = 0;
    /// All of it, or back to where it began; asks for no memory.  `first`: nobody before has touched anything.
    virtual Report run(int control, bool first) noexcept = 0;
};

/// Runs it, in a child whose end nobody is likely to bring about.  Throws Error.
void run_suspended(Section& section);

} // namespace dmsnap
