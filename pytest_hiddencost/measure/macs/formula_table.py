"""The formula of each operator that multiplies and accumulates, by its name."""

from __future__ import annotations

from pytest_hiddencost.measure.macs.formulas import (
    Formula,
    attention,
    attention_backward,
    contraction,
    convolution,
    convolution_backward,
    encoder_layer,
    grouped_product,
    linear_backward,
    multi_head_attention,
    packed_attention,
    quantized_layers,
    recurrent_backward,
    recurrent_layers,
    reduced_batch_product,
    time_first_convolution,
    trilinear,
    two_products,
)

_TABLE: dict[str, dict[Formula, str]] = {
    "aten": {
        contraction("self"): "mm bmm mv dot vdot _int_mm _scaled_mm",
        contraction("mat1"): "addmm _addmm_activation _sparse_addmm",
        contraction("mat"): "addmv",
        contraction("batch1"): "baddbmm",
        reduced_batch_product: "addbmm",
        grouped_product: "_grouped_mm _scaled_grouped_mm",
        # aten::linear is a leaf only on devices such as MPS.
        contraction("input", "linear"): """
            linear _mixed_dtypes_linear _sparse_semi_structured_linear""",
        contraction("self", "linear"): """
            mkldnn_linear _weight_int8pack_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu
            _weight_int4pack_mm_with_scales_and_zeros""",
        contraction("inp", "linear"): "_dyn_quant_matmul_4bit",
        convolution(): """
            convolution _convolution convolution_overrideable _nnpack_spatial_convolution""",
        convolution("self"): """
            mkldnn_convolution cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu
            miopen_convolution miopen_convolution_relu miopen_convolution_add_relu
            miopen_depthwise_convolution _mps_convolution _slow_conv2d_forward slow_conv3d_forward
            slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d""",
        convolution("self", transposed=True): """
            cudnn_convolution_transpose miopen_convolution_transpose _mps_convolution_transpose
            slow_conv_transpose2d slow_conv_transpose3d""",
        convolution_backward(): "convolution_backward convolution_backward_overrideable",
        convolution_backward("self"): "_slow_conv2d_backward mps_convolution_backward",
        convolution_backward("self", transposed=True): "mps_convolution_transpose_backward",
        linear_backward: "linear_backward mkldnn_linear_backward",
        time_first_convolution: "conv_tbc",
        attention: """
            _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
            _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
            _scaled_dot_product_fused_attention_overrideable
            _scaled_dot_product_attention_math_for_mps""",
        packed_attention: """
            _flash_attention_forward _efficient_attention_forward _cudnn_attention_forward""",
        attention_backward(attention): """
            _scaled_dot_product_flash_attention_backward
            _scaled_dot_product_flash_attention_for_cpu_backward
            _scaled_dot_product_efficient_attention_backward
            _scaled_dot_product_cudnn_attention_backward
            _scaled_dot_product_fused_attention_overrideable_backward""",
        attention_backward(packed_attention): """
            _flash_attention_backward _efficient_attention_backward _cudnn_attention_backward""",
        multi_head_attention: "_native_multi_head_attention",
        encoder_layer: "_transformer_encoder_layer_fwd",
        recurrent_layers("weight0", "weight1"): "mkldnn_rnn_layer",
        recurrent_layers("weight"): "_cudnn_rnn miopen_rnn",
        recurrent_layers("params"): "_lstm_mps",
        recurrent_backward("weight1", "weight2"): "mkldnn_rnn_layer_backward",
        recurrent_backward("weight"): "_cudnn_rnn_backward miopen_rnn_backward",
        recurrent_backward("params"): "lstm_mps_backward",
        quantized_layers(gates=4): "quantized_lstm quantized_lstm_cell",
        quantized_layers(gates=3): "quantized_gru quantized_gru_cell",
        quantized_layers(gates=1): "quantized_rnn_relu_cell quantized_rnn_tanh_cell",
        trilinear: "_trilinear",
    },
    "quantized": {
        contraction("qa"): "matmul",
        contraction("X", "linear"): """
            linear linear_relu linear_leaky_relu linear_tanh linear_dynamic linear_relu_dynamic
            linear_dynamic_fp16 linear_relu_dynamic_fp16 linear_dynamic_fp16_unpacked_weight
            linear_with_input_q_dq_qweight_dq_output_fp32
            linear_with_input_q_dq_qweight_dq_relu_output_fp32 wrapped_quantized_linear
            _wrapped_quantized_linear_prepacked wrapped_fbgemm_linear_fp16_weight""",
        convolution("qx", "packed_weight"): """
            conv1d conv1d_relu conv1d_dynamic conv2d conv2d_relu conv2d_dynamic conv2d_add
            conv2d_add_relu conv3d conv3d_relu conv3d_dynamic""",
        convolution("qx", "packed_weight", transposed=True): """
            conv_transpose1d conv_transpose1d_dynamic conv_transpose2d conv_transpose2d_dynamic
            conv_transpose3d conv_transpose3d_dynamic""",
        quantized_layers(gates=4): "quantized_lstm_cell_dynamic",
        quantized_layers(gates=3): "quantized_gru_cell_dynamic",
        quantized_layers(gates=1): """
            quantized_rnn_tanh_cell_dynamic quantized_rnn_relu_cell_dynamic""",
    },
    "onednn": {
        contraction("qx", "linear"): "qlinear_pointwise",
        contraction("x", "linear"): "linear_dynamic_fp16 linear_relu_dynamic_fp16",
        convolution("qx", "qw"): """
            qconv_pointwise qconv1d_pointwise qconv2d_pointwise qconv3d_pointwise""",
    },
    "mkldnn": {
        contraction("X", "linear"): "_linear_pointwise",
        convolution("X", "W"): "_convolution_pointwise",
        convolution("X", "W", transposed=True): "_convolution_transpose_pointwise",
    },
    "mkl": {contraction("X", "linear"): "_mkl_linear"},
    "inductor": {two_products: "_mm_plus_mm"},
    "prepacked": {
        contraction("X", "linear"): "linear_clamp_run",
        convolution("X", "W_prepack"): "conv2d_clamp_run",
        convolution("X", "W_prepack", transposed=True): "conv2d_transpose_clamp_run",
    },
    "sparse": {
        contraction("X", "linear"): "qlinear qlinear_relu qlinear_dynamic qlinear_relu_dynamic"
    },
    "mkldnn_prepacked": {convolution("X", "W_prepack"): "conv2d_run"},
}
"""Names of the operators by namespace and formula."""

_FORMULAS = {
    f"{namespace}::{name}": formula
    for namespace, formulas in _TABLE.items()
    for formula, names in formulas.items()
    for name in names.split()
}


def formula_named(operator: str) -> Formula | None:
    """Return the formula of an operator by its schema name (``aten::addmm``); None without one."""
    # In-place operators (aten::addmm_) and those of _quantized:: share a formula.
    return _FORMULAS.get(operator) or _FORMULAS.get(operator.removeprefix("_").removesuffix("_"))
