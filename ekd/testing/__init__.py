"""What every method promises, as checks that anyone can run on a method of their own.

With pytest:

    import pytest
    from ekd.methods import discover
    from ekd.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_method_keeps_its_promises(check):
        check(discover()["my_method"]())

Each check takes a method with its fields and raises AssertionError, with one sentence, where a
promise is broken. Small networks are trained for it on images of 8 x 8, in a temporary folder and
in seconds; nothing here needs pytest, the internet or a GPU.
"""

from ekd.testing.fields import (
    check_every_field_is_explained_and_has_a_default,
    check_fields_survive_json,
    check_it_cites_its_paper,
    check_named_readings_are_fields,
)
from ekd.testing.loss import (
    check_the_global_random_state_is_left_alone,
    check_the_loss_is_the_sum_of_its_terms,
)
from ekd.testing.movement import (
    check_frozen_teachers_stay_bit_equal,
    check_joint_teachers_move,
    check_layers_of_its_own_move,
    check_stored_teachers_stay_as_they_are,
    check_the_student_moves,
)
from ekd.testing.refusal import check_what_cannot_be_trained_is_refused
from ekd.testing.repetition import (
    check_a_resumed_training_ends_alike,
    check_the_same_seed_gives_the_same_training,
)
from ekd.testing.start import (
    check_every_network_is_named,
    check_the_student_starts_as_under_any_method,
)

CHECKS = (
    check_it_cites_its_paper,
    check_every_field_is_explained_and_has_a_default,
    check_fields_survive_json,
    check_named_readings_are_fields,
    check_what_cannot_be_trained_is_refused,
    check_the_student_starts_as_under_any_method,
    check_every_network_is_named,
    check_the_loss_is_the_sum_of_its_terms,
    check_the_global_random_state_is_left_alone,
    check_the_student_moves,
    check_layers_of_its_own_move,
    check_joint_teachers_move,
    check_frozen_teachers_stay_bit_equal,
    check_stored_teachers_stay_as_they_are,
    check_the_same_seed_gives_the_same_training,
    check_a_resumed_training_ends_alike,
)
"""All of them, the quick ones first."""

__all__ = ["CHECKS", *(check.__name__ for check in CHECKS)]
