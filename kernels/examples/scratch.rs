#![allow(missing_docs, clippy::all, clippy::print_stdout)]
use longstrand_kernels::*; use longstrand_kernels::simd::Level; use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 { f(); (0..7).map(|_| { let t=Instant::now(); f(); t.elapsed().as_secs_f64() }).fold(1e9, f64::min) }
fn v(n: usize) -> Vec<f32> { (0..n).map(|i| ((i*2654435761usize>>7)&0xffff) as f32/32768.0-1.0).collect() }
fn main() {
  let threads: usize = std::env::args().nth(1).map_or(1, |s| s.parse().unwrap());
  rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
  for level in Level::available() {
    for (h,p,n) in [(24,64,128),(8,64,64)] {
      let l=4096; let stride = 2*h*p+2*n+h;
      let buf=v(l*stride); let mut state=vec![0.0;h*n*p]; let mut y=vec![0.0;l*h*p];
      let a=vec![-0.5f32;h]; let d=vec![1.0f32;h]; let bias=vec![-3.0f32;h];
      let params=ssd::Params{heads:h,head_dim:p,states:n,groups:1,a:&a,d:&d,dt_bias:&bias,dt_limit:(0.0,f64::INFINITY)};
      let inputs=ssd::Inputs{x:Rows::columns(&buf,stride,h*p,h*p),b:Rows::columns(&buf,stride,2*h*p,n),c:Rows::columns(&buf,stride,2*h*p+n,n),dt:Rows::columns(&buf,stride,2*h*p+2*n,h)};
      let t=best(||ssd::cpu::forward(level,&params,Direction::Forward,0,&inputs,&mut state,Some(ssd::Output{y:RowsMut::new(&mut y,h*p),write:Write::Set})));
      let t2=best(||ssd::cpu::forward(level,&params,Direction::Forward,0,&inputs,&mut state,None));
      let one=ssd::Inputs{x:Rows::columns(&buf[..stride],stride,h*p,h*p),b:Rows::columns(&buf[..stride],stride,2*h*p,n),c:Rows::columns(&buf[..stride],stride,2*h*p+n,n),dt:Rows::columns(&buf[..stride],stride,2*h*p+2*n,h)};
      let t3=best(||for _ in 0..100 {ssd::cpu::forward(level,&params,Direction::Forward,0,&one,&mut state,Some(ssd::Output{y:RowsMut::new(&mut y[..h*p],h*p),write:Write::Set}))})/100.0;
      let fl=4.0*(l*h*n*p) as f64;
      println!("{level} ssd H{h} P{p} N{n}: {:.0} ns/pos, {:.1} GFLOP/s of 4NP; state only {:.0} ns/pos {:.1}; one step {:.1} us", t/l as f64*1e9, fl/t/1e9, t2/l as f64*1e9, fl/2.0/t2/1e9, t3*1e6);
    }
    for w in [256,768] { let l=4096; let x=v(l*w); let mut r=v(l*w); let mut o=vec![0.0;l*w]; let wt=v(w);
      for kind in [norm::Kind::Rms, norm::Kind::Layer] {
      let params=norm::Params{kind,epsilon:1e-5,weight:&wt,bias:None};
      let t=best(||norm::cpu::forward(level,&params,&x,&mut o)); let t2=best(||norm::cpu::add_forward(level,&params,&x,&mut r,&mut o));
      println!("{level} {kind:?} D{w}: {:.0} ns/row, add {:.0} ns/row", t/l as f64*1e9, t2/l as f64*1e9); }
      let mut g=v(l*w); let gp=gated_norm::Params{weight:&wt,epsilon:1e-5,group:w};
      let t=best(||gated_norm::cpu::forward(level,&gp,&mut g,Rows::new(&x,w))); let t2=best(||silu_gate::cpu::forward(level,&mut g,Rows::new(&x,w)));
      println!("{level} D{w}: gated_norm {:.0} ns/row silu_gate {:.0} ns/row", t/l as f64*1e9, t2/l as f64*1e9);
      let m=linear::cpu::PackedMatrix::new(&v(w*w*2),w,None); let mut o2=vec![0.0;l*2*w];
      let t=best(||linear::cpu::forward(level,&m,Rows::new(&x,w),RowsMut::new(&mut o2,2*w),Write::Set));
      println!("{level} linear {w}x{}: {:.1} GFLOP/s", 2*w, 4.0*(l*w*w) as f64/t/1e9);
      let mut sum=vec![0.0;w]; let t=best(||pool::add_rows(&x,&mut sum)); println!("pool {:.0} ns/row", t/l as f64*1e9);
    }
    let mut x=v(4096*16); let t=best(||log_softmax::cpu::forward(&mut x,16)); println!("log_softmax 16: {:.1} ns/row", t/4096.0*1e9);
  }
}
