// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"

#include <cstring>

namespace dmsnap {

Error::Error(std::string subject, std::string operation, std::string reason, std::string next_step)
    : subject_(std::move(subject)), operation_(std::move(operation)), reason_(std::move(reason)),
      next_step_(std::move(next_step)), what_(subject_ + ": cannot " + operation_ + ": " + reason_)
{
}

Error::Error(std::string subject, std::string operation, int error_number, std::string next_step)
    : Error(std::move(subject), std::move(operation), errno_text(error_number), std::move(next_step))
{
    number_ = error_number;
}

Error Error::as(Fault fault) const
{
    Error copy = *this;
    copy.fault_ = fault;
    return copy;
}

std::string errno_text(int number)
{
    const char* text = strerrordesc_np(number);
    return text != nullptr ? text : "error " + std::to_string(number);
}

} // namespace dmsnap
