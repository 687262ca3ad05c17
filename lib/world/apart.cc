// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/apart.h"

#include "base/error.h"
#include "base/text.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace dmsnap {
namespace {

/// What the child says of its end: nothing but this if all went well, else the error's parts, a NUL behind each.
constexpr char all_well = '.';

std::string told(const Error& error)
{
    std::string text;
    for (const std::string& part : {error.subject(), error.operation(), error.reason(), error.next_step()})
        text += part + '\0';
    return text;
}

Error heard(std::string_view text)
{
    const auto parts = split(text, '\0');
    const auto part = [&](std::size_t i) { return i < parts.size() ? std::string(parts[i]) : std::string(); };
    return Error(part(0), part(1), part(2), part(3));
}

[[noreturn]] void be_child(int answer, const std::function<void()>& act, const std::function<void()>& undo)
{
    signal(SIGPIPE, SIG_IGN);
    // A lock of ours, above all, must not be held for as long as this takes.
    if (answer != 3)
        dup3(answer, 3, O_CLOEXEC);
    close_range(4, ~0U, 0);
    std::string text(1, all_well);
    try {
        act();
    } catch (const Error& error) {
        text = told(error);
    }
    const bool done = text.front() == all_well;
    if (write(3, text.data(), text.size()) < 0 && done)
        try {
            undo();
        } catch (const Error&) {
            // Whoever finds it tidies up.
        }
    _exit(done ? 0 : 1);
}

/// Nothing if there is no answer in time.
std::string answer_in_time(int answer, std::chrono::milliseconds deadline)
{
    std::string text;
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        pollfd waits{answer, POLLIN, 0};
        const int ready = poll(&waits, 1, left > 0 ? static_cast<int>(left) : 0);
        if (ready == 0)
            return {};
        char part[512];
        const ssize_t length = ready > 0 ? read(answer, part, sizeof(part)) : -1;
        if (length == 0)
            return text;
        if (length > 0)
            text.append(part, static_cast<std::size_t>(length));
        else if (errno != EINTR)
            return {};
    }
}

} // namespace

void run_apart(const std::string& subject, const std::string& operation, std::chrono::milliseconds deadline,
    const std::function<void()>& act, const std::function<void()>& undo)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw Error(subject, operation, errno);
    const pid_t child = fork();
    if (child < 0) {
        const int error = errno;
        close(ends[0]);
        close(ends[1]);
        throw Error(subject, operation, error);
    }
    if (child == 0)
        be_child(ends[1], act, undo);
    close(ends[1]);
    const std::string text = answer_in_time(ends[0], deadline);
    close(ends[0]);
    if (text.empty())
        throw Error(subject, operation,
            fmt::format("its filesystem does not answer within {} s; it may be frozen", deadline.count() / 1000),
            "again, once it takes writes");
    waitpid(child, nullptr, 0);
    if (text.front() != all_well)
        throw heard(text);
}

} // namespace dmsnap
