// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/apart.h"

#include "base/error.h"
#include "base/text.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace dmsnap {
namespace {

// What the child says of its end: one of these, then what it returned, or the parts of the error with a NUL behind each.
constexpr char returned = '.';
constexpr char failed = '!';

std::string told(const Error& error)
{
    std::string text(1, failed);
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

/// Neither a lock of ours nor a pipe that somebody reads to its end is held for as long as this may take.
void let_go_of_files(int answer)
{
    signal(SIGPIPE, SIG_IGN);
    setsid();
    if (answer != 3)
        dup3(answer, 3, O_CLOEXEC);
    close_range(4, ~0U, 0);
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        dup2(nothing, standard);
}

bool say(std::string_view text)
{
    while (!text.empty()) {
        const ssize_t length = write(3, text.data(), text.size());
        if (length < 0 && errno != EINTR)
            return false;
        if (length > 0)
            text.remove_prefix(static_cast<std::size_t>(length));
    }
    return true;
}

/// Whatever it meets, it does not come back into the program that it is a copy of.
[[noreturn]] void be_child(
    int answer, const std::function<std::string()>& act, const std::function<void()>& undo) noexcept
{
    try {
        let_go_of_files(answer);
        try {
            if (!say(returned + act()))
                undo();
        } catch (const Error& error) {
            say(told(error));
        }
    } catch (...) {
        _exit(1); // whoever finds what is left tidies up
    }
    _exit(0);
}

/// All that it says up to its end; nothing if that does not come in time.
std::optional<std::string> answer_in_time(int answer, std::chrono::milliseconds deadline)
{
    std::string text;
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
        pollfd waits{answer, POLLIN, 0};
        const int ready = poll(&waits, 1, left > 0 ? static_cast<int>(left) : 0);
        if (ready == 0)
            return std::nullopt;
        char part[512];
        const ssize_t length = ready > 0 ? read(answer, part, sizeof(part)) : -1;
        if (length == 0)
            return text;
        if (length > 0)
            text.append(part, static_cast<std::size_t>(length));
        else if (errno != EINTR)
            return std::nullopt;
    }
}

} // namespace

std::string run_apart(const std::string& subject, const std::string& operation, std::chrono::milliseconds deadline,
    const std::function<std::string()>& act, const std::function<void()>& undo)
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
    const auto text = answer_in_time(ends[0], deadline);
    close(ends[0]);
    if (!text)
        throw Error(subject, operation,
            fmt::format("its filesystem does not answer within {} s; it may be frozen",
                std::chrono::duration_cast<std::chrono::seconds>(deadline).count()),
            "again, once it takes writes");
    waitpid(child, nullptr, 0);
    if (text->empty())
        throw Error(subject, operation, "the process that was to do it has died", "again");
    if (text->front() == failed)
        throw heard(std::string_view(*text).substr(1));
    return text->substr(1);
}

} // namespace dmsnap
