// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// The one place from which a device is suspended from user space.
//
//   this process                       its child
//   builds every request
//   forks ---------------------------> locks its memory
//   waits at a pipe                    suspend; look once more; change; resume
//     | a report: done or undone <-----' or, if one fails: all back, newest first
//     ` the pipe breaks: the child was killed.  Once more: each request may be repeated.
//
// While a live device is suspended whoever writes to it waits: the page cache, a logger, the memory of this very
// program on a swap device.  So the child has its memory beforehand, touches no file that was not open, logs nothing and
// catches no signal; it talks to device-mapper by ioctl alone, for libdevmapper allocates and logs.  It is another process so that
// one who kills the program, even with SIGKILL, does not stop it in the middle.
//
// udev is not waited for: neither name nor links of a public device change, and the others are private.  So there is no
// cookie that a killed program could leave behind.
#include "dm/suspended.h"

#include "base/error.h"
#include "base/signals.h"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <optional>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dmsnap {
namespace {

/// Stack the child may need, touched before it matters.
constexpr std::size_t stack_bytes = 64 << 10;
constexpr int urgent = -18; // as LVM in its critical section
constexpr unsigned children_max = 3;

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const { return fd_; }
    void reset()
    {
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
    }

private:
    int fd_;
};

void touch_stack() noexcept
{
    volatile char page[stack_bytes];
    for (std::size_t i = 0; i < sizeof(page); i += 4096)
        page[i] = 0;
}

/// In the child: nothing here returns, allocates or throws.
[[noreturn]] void be_child(Section& section, int control, int pipe, bool first) noexcept
{
    setsid();                             // what ends the terminal does not end it
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); // the kernel asks no filesystem for memory on our behalf
    touch_stack();
    Report report;
    // What another one has begun is ended also without.
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0 && first) {
        report = {errno, section.device(), "lock the memory of what swaps its table"};
    } else {
        setpriority(PRIO_PROCESS, 0, urgent);
        report = section.run(control, first);
    }
    // Nobody there to read it: nothing to be done about it.
    [[maybe_unused]] const auto ignored = write(pipe, &report, sizeof(report));
    _exit(0);
}

/// Nothing if the child died without a word.
std::optional<Report> read_report(int pipe)
{
    Report report;
    ssize_t bytes = 0;
    do
        bytes = read(pipe, &report, sizeof(report));
    while (bytes < 0 && errno == EINTR);
    return bytes == static_cast<ssize_t>(sizeof(report)) ? std::optional(report) : std::nullopt;
}

/// There can be no child.  Where nothing was begun nothing is; what was begun does not wait for better times.
std::optional<Report> without_child(int number, const Section& section, bool first)
{
    if (!first || section.was_suspended())
        return std::nullopt;
    return Report{number, section.device(), "start the process that swaps its table", nullptr,
        "again, with room for one more process and file"};
}

/// Nothing if the child was killed.  `first` until there was one.
std::optional<Report> run_in_child(Section& section, int control, bool& first)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return without_child(errno, section, first);
    Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    pid_t child = 0;
    int number = 0;
    {
        const SignalsWait wait;
        child = fork();
        if (child == 0)
            be_child(section, control, writing.get(), first);
        number = errno;
    }
    if (child < 0)
        return without_child(number, section, first);
    first = false;
    writing.reset();
    const auto report = read_report(reading.get());
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return report;
}

Report run_in_some_process(Section& section, int control)
{
    bool first = true;
    for (unsigned i = 0; i < children_max; ++i)
        if (const auto report = run_in_child(section, control, first))
            return *report;
    // Somebody kills every child: what was begun has to be ended all the same, with memory that is here if possible.
    const SignalsWait wait;
    mlockall(MCL_CURRENT | MCL_FUTURE);
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    const Report report = section.run(control, first);
    prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    munlockall();
    return report;
}

} // namespace

void run_suspended(Section& section)
{
    const Descriptor control(open("/dev/" DM_DIR "/" DM_CONTROL_NODE, O_RDWR | O_CLOEXEC));
    if (control.get() < 0)
        throw Error("device-mapper", "open its control node", errno);
    if (const int number = section.note(control.get()))
        throw Error(section.device(), "read its tables", number);
    const Report report = run_in_some_process(section, control.get());
    if (report.number != 0 && report.reason != nullptr)
        throw Error(report.subject, report.operation, report.reason, report.next_step);
    if (report.number != 0)
        throw Error(report.subject, report.operation, report.number, report.next_step);
}

} // namespace dmsnap
