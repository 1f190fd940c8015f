"""The two things that a training step needs from its backend: gradients, and compiled functions that update variables.

This is the only file of the training step that depends on the backend. The others use `keras.ops` and `keras.Variable`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from ..errors import UsageError


def require_backend() -> str:
    """Returns Keras' backend, `"tensorflow"` or `"jax"`.

    Raises:
        UsageError: Keras runs on another backend.
    """
    backend = str(keras.backend.backend())
    if backend not in ("tensorflow", "jax"):
        raise UsageError(
            f"networks are trained under TensorFlow or JAX; Keras runs on {backend!r}; set KERAS_BACKEND=tensorflow"
        )
    return backend


def ask_for_full_precision() -> None:
    """Makes JAX multiply matrices in full float32, as the exact transform needs. By default accelerators use less."""
    if require_backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "float32")


def gradients(objective: Callable[[], tuple], trainable: Sequence, variables: Sequence) -> tuple[tuple, list]:
    """Calls an objective and computes the gradients of its first value.

    Args:
        objective: function without arguments that returns a tuple: the scalar to differentiate, and other tensors.
        trainable: variables with respect to which the scalar is differentiated.
        variables: all variables that the objective reads or changes.

    Returns:
        What `objective` returned, and a list with the gradient for each variable of `trainable`.
    """
    if require_backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            found = objective()
        return found, tape.gradient(found[0], list(trainable))
    import jax

    positions = {id(variable) for variable in trainable}
    others = [variable for variable in variables if id(variable) not in positions]

    def pure(values: list, kept: list) -> tuple:
        # A `StatelessScope` cannot see the values of the scope around it, so every value is passed to it.
        mapping = [*zip(trainable, values, strict=True), *zip(others, kept, strict=True)]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            found = objective()
        return found[0], (found, [scope.get_current_value(variable) for variable in others])

    values, kept = [variable.value for variable in trainable], [variable.value for variable in others]
    (_, (found, changed)), slopes = jax.value_and_grad(pure, has_aux=True)(values, kept)
    for variable, value in zip(others, changed, strict=True):
        variable.assign(value)
    return found, slopes


def compiled(function: Callable, variables: Sequence) -> Callable[..., Any]:
    """Compiles a function of tensors that reads and assigns variables.

    Args:
        function: function that takes and returns tensors.
        variables: all variables that it reads or changes. Their number and shapes must not change.
    """
    if require_backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False, jit_compile=False)
    import jax

    def pure(values: list, *arguments: Any) -> tuple:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            found = function(*arguments)
        return found, [scope.get_current_value(variable) for variable in variables]

    # The old values are donated, so that old and new values need not be in memory at the same time.
    jitted = jax.jit(pure, donate_argnums=0)

    def call(*arguments: Any) -> Any:
        found, values = jitted([variable.value for variable in variables], *arguments)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return found

    return call
